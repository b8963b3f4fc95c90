"""What a new training takes from a checkpoint: its weights and, with `freeze_codes`, its codes.

A codec whose encoder and codebooks stay as they are (`freeze_codes`) makes the same codes as the
codec that it starts from. It keeps that codec's fingerprint, so that the codes, priors and bass
decoders of either codec can be used with the other.
"""

from dataclasses import replace

import torch

from shared.codes.codec import CodeFormat
from shared.errors import require
from shared.training.checkpoint import Checkpoint, load_weights
from stage1_vqvae.codec import code_format
from stage1_vqvae.config import VQVAEConfig
from stage1_vqvae.convnext import ConvNeXtBlock
from stage1_vqvae.model import VQVAE

NEW_BLOCKS, NEW_READOUT = "mask_head.blocks.", "encoder.bass."
MAY_LACK = (NEW_BLOCKS, NEW_READOUT, "level_head.")


def start_from(model: VQVAE, checkpoint: Checkpoint) -> None:
    """Copy the weights of a checkpoint into a model.

    Blocks of the mask head, and a readout of the bass, that the checkpoint lacks change nothing at
    first. A level head that it lacks begins with random weights.

    Raises:
        UserError: the weights are of other sizes.
    """
    own = model.state_dict()
    missing = own.keys() - checkpoint.weights.keys()
    added = {name: own[name] for name in missing if name.startswith(MAY_LACK)}
    load_weights(model, replace(checkpoint, weights={**added, **checkpoint.weights}))
    readout = model.encoder.bass
    if readout is not None and any(name.startswith(NEW_READOUT) for name in added):
        readout.start_from(model.encoder.readout)
    if model.mask_head is not None:
        for index, block in enumerate(model.mask_head.blocks):
            if f"{NEW_BLOCKS}{index}.scale" in added:
                assert isinstance(block, ConvNeXtBlock)
                torch.nn.init.zeros_(block.scale)


def kept_codes(config: VQVAEConfig, checkpoint: Checkpoint) -> CodeFormat:
    """Return the format of the codes that a model with frozen codes makes: the checkpoint's.

    Raises:
        UserError: the model would make other codes of the same weights.
    """
    before, now = checkpoint.read("config", VQVAEConfig).model, config.model
    same = replace(
        now,
        decoder_width=before.decoder_width,
        decoder_blocks=before.decoder_blocks,
        mask_head=before.mask_head,
        mask_blocks=before.mask_blocks,
        pitch_head=before.pitch_head,
        level_head=before.level_head,
        layer_scale=before.layer_scale,
    )
    require(
        same == before,
        f"'freeze_codes=true' keeps the codes of {checkpoint.path}, but the settings of the "
        "encoder, the codebooks or the frames under 'model' are others: give the same",
    )
    return code_format(checkpoint)
