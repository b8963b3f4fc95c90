"""Train the prior: its listener, then its composer, then its performer."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, TypeVar

import torch

from shared.codes.codec import CodeFormat
from shared.codes.manifest import Manifest
from shared.codes.song_codes import SongCodes
from shared.console import err_console, progress
from shared.device import Device
from shared.errors import require
from shared.processes import shared_map
from shared.training.checkpoint import (
    WEIGHTS_NAME,
    Checkpoint,
    fingerprint,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from shared.training.loop import fit, make_fabric
from shared.training.settings import TrainSettings
from shared.training.task import Task
from stage2_prior.composer.material import composed_song
from stage2_prior.composer.sequences import ComposedSong
from stage2_prior.composer.task import ComposerTask
from stage2_prior.config import PARTS, ModelConfig, Part, PriorConfig
from stage2_prior.corpus import open_corpus, read_song, read_songs
from stage2_prior.listener.sequences import HeardSong, known_views
from stage2_prior.listener.task import ListenerTask
from stage2_prior.model import Prior, prior_metadata
from stage2_prior.performer.sequences import PerformedSong
from stage2_prior.performer.task import PerformerTask
from stage2_prior.x_transformers_guard import tell_compiler

T = TypeVar("T", HeardSong, ComposedSong, PerformedSong)


def train_prior(
    codes: Path,
    out: Path,
    config: PriorConfig,
    resume: Literal["auto", "never"] = "never",
    device: Device = "auto",
    init_from: Path | None = None,
) -> Path:
    """Train a prior on a folder of codes; return the path of the checkpoint.

    Each part is a run of its own in a folder of `out` with its name. After each, `out` holds a
    checkpoint of the whole prior with the best weights so far.

    Args:
        codes: a folder that `extract-codes` wrote.
        out: the folder of the run.
        config: the settings.
        resume: whether to continue the runs in `out`.
        device: where to compute.
        init_from: a checkpoint of a prior to take the first weights from, with networks of the same
            sizes. It may have been trained on the codes of another codec of the same format.

    Raises:
        UserError: there are no usable codes, `out` holds a run that this one does not continue,
            the checkpoint does not fit, or the composer has no trained listener to learn from.
    """
    require(
        init_from is not None or "composer" not in config.parts or "listener" in config.parts,
        "the composer learns from what the listener hears: train the part 'listener' too, or give "
        "--init-from",
    )
    corpus = open_corpus(codes)
    _require_usable(corpus, config)
    prior = new_prior(config, corpus.format)
    if init_from is not None:
        _start_from(prior, load_checkpoint(init_from, "prior"))
    for part in (part for part in PARTS if part in config.parts):
        task, settings = _task(part, prior, corpus, config, device)
        if settings.compile:
            tell_compiler()
        best = fit(task, settings, out / part, resume, device)
        load_weights(getattr(prior, part), load_checkpoint(best, part))
        prior.cpu().eval()
        _save(prior, out, config)
    return out / WEIGHTS_NAME


def _require_usable(corpus: Manifest, config: PriorConfig) -> None:
    """Read all songs, so that none stops the work after hours of training.

    Raises:
        UserError: songs lack what a part needs that is trained, or cannot be read.
    """

    def check(song: SongCodes) -> None:
        if {"listener", "composer"} & {*config.parts}:
            known_views(song, config.listener.views)
        if "performer" in config.parts:
            song.view("alone")

    for _ in read_songs(corpus, check):
        pass


def new_prior(config: PriorConfig, format: CodeFormat) -> Prior:
    """Build a prior with the random weights of the seed of its listener."""
    torch.manual_seed(config.listener.train.seed)
    return Prior(config.model, format, fingerprint="in training")


def _task(
    part: Part, prior: Prior, corpus: Manifest, config: PriorConfig, device: Device
) -> tuple[Task, TrainSettings]:
    """Read what a part learns from, and set its training up."""
    if part == "listener":
        views = config.listener.views
        heard = _split([*read_songs(corpus, lambda song: HeardSong.of(song, views))])
        return ListenerTask(*heard, prior.listener, config.listener), config.listener.train
    if part == "composer":
        prior.listener.to(make_fabric(device).device)  # it hears all songs first
        composed = _split(_composed_songs(prior, corpus, config))
        prior.listener.cpu()
        heard_by = fingerprint(prior.listener.state_dict())
        task = ComposerTask(*composed, prior.composer, config.composer, heard_by)
        return task, config.composer.train
    performed = _split([*read_songs(corpus, PerformedSong.of)])
    return PerformerTask(*performed, prior.performer, config.performer), config.performer.train


def _composed_songs(prior: Prior, corpus: Manifest, config: PriorConfig) -> list[ComposedSong]:
    """Let the listener hear all songs, of which several processes hear a share each."""
    listener, views = prior.listener.eval(), config.listener.views

    def hear(path: Path) -> ComposedSong | None:
        return composed_song(read_song(corpus, path), listener, config.hearings, views)

    songs = []
    with progress("listening to the songs", len(corpus.files)) as bar:
        for song in shared_map(hear, corpus.files):
            songs += [] if song is None else [song]
            bar.advance()
    return songs


def _split(songs: Sequence[T]) -> tuple[list[T], list[T]]:
    """Return the training songs and the validation songs.

    Raises:
        UserError: no song is for training.
    """
    train, valid = ([song for song in songs if song.split == name] for name in ("train", "valid"))
    require(bool(train), "none of the codes belong to the split 'train': add training songs")
    if not valid:
        err_console.print("no song belongs to the split 'valid': validating on training songs")
    return train, valid or train


def _start_from(model: Prior, checkpoint: Checkpoint) -> None:
    """Copy the weights of a checkpoint into `model`.

    Raises:
        UserError: the weights have other sizes, or would mean something else in this model.
    """
    before, now = checkpoint.read("codes", CodeFormat), model.format
    require(
        (before.codebooks, before.cardinality) == (now.codebooks, now.cardinality),
        f"the prior {checkpoint.path} was trained on codes with {before.codebooks} codebooks of "
        f"{before.cardinality}, but these have {now.codebooks} of {now.cardinality}: start without "
        "it",
    )
    config = checkpoint.read("model", ModelConfig)
    # These do not show in the sizes of the weights.
    for part, setting in (*((part, "heads") for part in PARTS), ("performer", "delays")):
        old, new = (getattr(sizes, part) for sizes in (config, model.config))
        require(
            getattr(old, setting) == getattr(new, setting),
            f"the prior {checkpoint.path} has another 'model.{part}.{setting}': give the same",
        )
    load_weights(model, checkpoint)


def _save(prior: Prior, out: Path, config: PriorConfig) -> None:
    meta = {"stage": "prior", **prior_metadata(prior), "config": asdict(config)}
    weights = {name: tensor.half() for name, tensor in prior.state_dict().items()}
    save_checkpoint(out / WEIGHTS_NAME, weights, meta)
