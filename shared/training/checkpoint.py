"""Write and read checkpoints: safetensors weights with a JSON file of the same name beside them.

The JSON holds `stage`, `format`, `config`, `step`, `metrics` and `fingerprint` (a digest of the
weights). That of a prior also holds the fingerprint of the codec whose codes it was trained on.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from shared.atomic import files_together
from shared.config import config_from_dict
from shared.errors import UserError, require
from shared.json_files import write_json

FORMAT = 1
WEIGHTS_NAME = "model.safetensors"

C = TypeVar("C")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint holds the weights as they are stored, and the metadata beside them."""

    path: Path
    weights: dict[str, torch.Tensor]
    meta: dict[str, Any]

    def read(self, key: str, cls: type[C], optional: bool = False) -> C:
        """Read the metadata's object `key` as the configuration class `cls`.

        Args:
            key: the name of the object.
            cls: a dataclass.
            optional: take the defaults of `cls` where the object is missing.

        Raises:
            UserError: it is missing, or holds what this version does not accept.
        """
        try:
            content = self.meta.get(key, {} if optional else None)
            require(isinstance(content, Mapping), f"there is no '{key}' in it")
            return config_from_dict(cls, content or {}, f"{key}.")
        except UserError as error:
            raise UserError(
                f"{self.path.with_suffix('.json')} does not fit this version: {error}"
            ) from error


def fingerprint(weights: Mapping[str, torch.Tensor]) -> str:
    """Compute a short digest of the weights' names and bytes, by which codes name their codec."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].numpy().tobytes())
    return digest.hexdigest()[:16]


def save_checkpoint(
    path: Path, weights: Mapping[str, torch.Tensor], meta: Mapping[str, Any]
) -> None:
    """Write `path` (.safetensors) and the JSON beside it, both or neither."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    with files_together({"weights": path, "meta": path.with_suffix(".json")}) as files:
        save_file(tensors, files["weights"])
        write_json(files["meta"], {"format": FORMAT, "fingerprint": fingerprint(tensors), **meta})


def load_checkpoint(path: Path, stage: str) -> Checkpoint:
    """Read a checkpoint from a run folder or a .safetensors file.

    Args:
        path: the folder or the file.
        stage: which stage's checkpoint is needed, "vqvae" or "prior".

    Raises:
        UserError: the checkpoint is missing, damaged, of another stage or of a newer format, or its
            weights are not those that its JSON describes.
    """
    file = path / WEIGHTS_NAME if path.is_dir() else path
    beside = file.with_suffix(".json")
    require(
        file.is_file(),
        f"there is no checkpoint at {file}: give a run folder or a .safetensors file",
    )
    require(beside.is_file(), f"{file} has no {beside.name} beside it: copy both files together")
    try:
        meta = json.loads(beside.read_text(encoding="utf-8"))
        weights = load_file(file)
    except (ValueError, SafetensorError, OSError) as error:
        raise UserError(f"the checkpoint {file} is damaged ({error}): copy it again") from error
    if not isinstance(meta, dict) or not isinstance(meta.get("format", 0), int):
        raise UserError(f"the checkpoint {file} is damaged ({beside.name}): copy it again")
    require(
        meta.get("stage") == stage,
        f"{file} is a checkpoint of stage '{meta.get('stage')}', but one of '{stage}' is needed",
    )
    require(
        meta.get("format", 0) <= FORMAT,
        f"{file} was written by a newer version of this program: upgrade to read it",
    )
    require(
        meta.get("fingerprint") == fingerprint(weights),
        f"{file} and the {beside.name} beside it are of different checkpoints: "
        "copy both files together",
    )
    return Checkpoint(file, weights, meta)


def load_weights(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's weights into a model, as float32.

    Raises:
        UserError: the weights are of other sizes, or of another version of this program.
    """
    try:
        model.load_state_dict({name: w.float() for name, w in checkpoint.weights.items()})
    except RuntimeError as error:
        raise UserError(
            f"the weights in {checkpoint.path} do not fit this model: they are of other sizes, or "
            "of another version; train it again"
        ) from error
