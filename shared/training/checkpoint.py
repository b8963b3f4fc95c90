"""Checkpoints: safetensors weights with a JSON of the same name beside them. Never pickle.

The JSON holds `stage`, `format`, `config`, `step`, `metrics`, `fingerprint` (a digest of the weights),
and for a prior also the fingerprint of the codec whose codes it was trained on.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from shared.atomic import atomic_path
from shared.errors import UserError

FORMAT = 1
WEIGHTS_NAME = "model.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """Weights as stored, and the metadata beside them."""

    path: Path
    weights: dict[str, torch.Tensor]
    meta: dict[str, Any]


def fingerprint(weights: Mapping[str, torch.Tensor]) -> str:
    """A short digest of the weights' names and bytes: the name by which codes know their codec."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].numpy().tobytes())
    return digest.hexdigest()[:16]


def save_checkpoint(
    path: Path, weights: Mapping[str, torch.Tensor], meta: Mapping[str, Any]
) -> None:
    """Write `path` (.safetensors) and the JSON beside it; each appears whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)
    text = json.dumps({"format": FORMAT, "fingerprint": fingerprint(tensors), **meta}, indent=2)
    with atomic_path(path.with_suffix(".json")) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def load_checkpoint(path: Path, stage: str) -> Checkpoint:
    """Read a checkpoint of the given stage ("vqvae" or "prior") from a run folder or a .safetensors file.

    Raises:
        UserError: nothing there, damaged, of another stage, of a newer format, or weights beside the
            JSON of others.
    """
    file = path / WEIGHTS_NAME if path.is_dir() else path
    if not file.is_file():
        raise UserError(
            f"there is no checkpoint at {file}: give a run folder or a .safetensors file"
        )
    try:
        meta = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        weights = load_file(file)
    except FileNotFoundError as error:
        raise UserError(
            f"{file} has no {file.with_suffix('.json').name} beside it: copy both files together"
        ) from error
    except (ValueError, SafetensorError, OSError) as error:
        raise UserError(f"the checkpoint {file} is damaged ({error}): copy it again") from error
    if not isinstance(meta, dict):
        raise UserError(f"the checkpoint {file} is damaged (its JSON is no object): copy it again")
    if meta.get("stage") != stage:
        raise UserError(
            f"{file} is a checkpoint of stage '{meta.get('stage')}', but one of '{stage}' is needed"
        )
    if meta.get("format", 0) > FORMAT:
        raise UserError(f"{file} was written by a newer version: upgrade to read it")
    if meta.get("fingerprint") != fingerprint(weights):
        raise UserError(
            f"{file} and the {file.with_suffix('.json').name} beside it are of different checkpoints: "
            "copy both files together"
        )
    return Checkpoint(file, weights, meta)


def load_weights(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's weights, as float32, into a model of its sizes.

    Raises:
        UserError: the model is of other sizes, or was built otherwise by another version.
    """
    try:
        model.load_state_dict({name: w.float() for name, w in checkpoint.weights.items()})
    except RuntimeError as error:
        raise UserError(
            f"the weights in {checkpoint.path} do not fit this model: they are of other sizes, or of "
            "another version; train it again"
        ) from error
