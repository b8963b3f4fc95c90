"""Write and read checkpoints: safetensors weights with a JSON file of the same name beside them.

The weights' file also holds the JSON in its header, so that it is whole by itself: where the JSON
beside it is gone or belongs to other weights, as after a death between the writing of the two, the
header counts. Otherwise the file beside it counts, which people may edit.

The JSON holds `stage`, `format`, `config`, `step`, `metrics` and `fingerprint` (a digest of the
weights). That of a prior or of a bass decoder also holds the fingerprint of the codec whose codes
it was trained on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from shared.atomic import atomic_path, files_together
from shared.config import config_from_dict
from shared.errors import UserError, require
from shared.json_files import jsonable, write_json

FORMAT = 1
WEIGHTS_NAME = "model.safetensors"
_HEADER = "checkpoint"  # the key of the JSON object in the header of the weights' file

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


@dataclass(frozen=True)
class TensorFile:
    """A safetensors file: its tensors by name, and the texts in its header by key."""

    tensors: dict[str, torch.Tensor]
    header: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> TensorFile:
        """Read a file; SafetensorError or OSError where that is not possible."""
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return cls(tensors, file.metadata() or {})


def fingerprint(weights: Mapping[str, torch.Tensor]) -> str:
    """Compute a short digest of the weights' names and bytes, by which codes name their codec."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(tensor_bytes(weights[name]))
    return digest.hexdigest()[:16]


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """Return the bytes of a tensor on the CPU, of any type of number."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data


def save_checkpoint(
    path: Path, weights: Mapping[str, torch.Tensor], meta: Mapping[str, Any]
) -> None:
    """Write `path` (.safetensors) and the JSON beside it, both or neither."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    content = jsonable({"format": FORMAT, "fingerprint": fingerprint(tensors), **meta})
    with files_together({"weights": path, "meta": path.with_suffix(".json")}) as files:
        # save_file would write a temporary file of its own, which stays where it is killed.
        files["weights"].write_bytes(save(tensors, {_HEADER: json.dumps(content)}))
        write_json(files["meta"], content)


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
    checkpoint = _read(file)
    meta = checkpoint.meta
    require(
        meta.get("stage") == stage,
        f"{file} is a checkpoint of stage '{meta.get('stage')}', but one of '{stage}' is needed",
    )
    require(
        meta.get("format", 0) <= FORMAT,
        f"{file} was written by a newer version of this program: upgrade to read it",
    )
    return checkpoint


def is_checkpoint(path: Path) -> bool:
    """Whether `path` (.safetensors) is a whole checkpoint of any stage."""
    try:
        _read(path)
    except UserError:
        return False
    return True


def heal_checkpoint(path: Path) -> None:
    """Write the JSON beside the weights anew where it is gone or belongs to other weights.

    A process that died while it wrote a checkpoint leaves it so.
    """
    beside = path.with_suffix(".json")
    try:
        meta = _read(path).meta
        if not beside.is_file() or _parse(beside.read_text(encoding="utf-8")) != meta:
            with atomic_path(beside) as temporary:
                write_json(temporary, meta)
    except (UserError, OSError, ValueError):
        pass  # nothing to heal, or nothing to heal it from


def _read(file: Path) -> Checkpoint:
    """Read the weights, and the JSON that belongs to them."""
    beside = file.with_suffix(".json")
    require(
        file.is_file(),
        f"there is no checkpoint at {file}: give a run folder or a .safetensors file",
    )
    try:
        content = TensorFile.read(file)
        own = _parse(content.header[_HEADER]) if _HEADER in content.header else None
        given = _parse(beside.read_text(encoding="utf-8")) if beside.is_file() else None
    except (ValueError, RecursionError, SafetensorError, OSError) as error:
        raise UserError(f"the checkpoint {file} is damaged ({error}): copy it again") from error
    require(
        own is not None or given is not None,
        f"{file} has no {beside.name} beside it: copy both files together",
    )
    name = fingerprint(content.tensors)
    for meta in (given, own):
        if meta is not None and meta.get("fingerprint") == name:
            return Checkpoint(file, content.tensors, meta)
    raise UserError(
        f"{file} and the {beside.name} beside it are of different checkpoints: "
        "copy both files together"
    )


def _parse(text: str) -> dict[str, Any]:
    """Parse the JSON of a checkpoint; ValueError where it cannot be one's."""
    meta = json.loads(text)
    if not isinstance(meta, dict) or not isinstance(meta.get("format", 0), int):
        raise ValueError("its JSON is not an object with a whole number as its format")
    return meta


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
