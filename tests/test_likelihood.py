"""The likelihood of the true bass, with networks whose probabilities are known."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shared.codes.song_codes import SongCodes
from shared.config import load_config
from stage2_prior import likelihood
from stage2_prior.composer.features import FEATURES, Hearing
from stage2_prior.composer.network import NONE
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.likelihood import WINDOWS_A_SONG, song_likelihood
from stage2_prior.listener.accuracy import listening_accuracy
from stage2_prior.listener.labels import UNKNOWN
from stage2_prior.listener.sequences import HeardSong, collate, window
from stage2_prior.model import Prior
from stage2_prior.performer.score import HIDDEN, NOTE, TONE
from tests.toy_songs import FORMAT, WINDOW, make_song

CODEBOOKS, CODES = FORMAT.codebooks, FORMAT.cardinality
FACTS = {
    "beats": (0.5 * np.arange(40)).tolist(),
    "downbeats": (2.0 * np.arange(10)).tolist(),
    "chords": [{"start": 0.0, "end": 20.0, "root": 7, "quality": "maj"}],
    "bass_notes": [{"onset": t / 2, "duration": 0.4, "pitch": 30 + t % 5} for t in range(36)],
    "bass_program": 33,
}
COSTS = {"onset": 1.0, "pitch": 2.0, "length": 4.0, "loudness": 100.0}  # nats of a choice
OWN, OTHER = 0.25, 0.75  # the features that are heard in a song, and in another


def song(name: str, frames: int = 800, **changes: Any) -> SongCodes:
    return make_song(name, "test", frames, **({"song": FACTS} | changes))


@pytest.fixture
def prior() -> Prior:
    torch.manual_seed(0)
    config = load_config(PriorConfig, PRESETS, "tiny").model
    return Prior(config, FORMAT, "untrained").eval().requires_grad_(False)


class KnownComposer:
    """The price of a choice is in COSTS. It doubles without the song and trebles with another."""

    def __init__(self) -> None:
        self.batches: list[dict[str, Tensor]] = []

    def __call__(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        self.batches.append(batch)
        factor = 1.0 if batch["features"][0, 0, 0] == OWN else 3.0
        factor = 2.0 if batch["hidden"] else factor
        targets = {name: batch["gap" if name == "onset" else name] for name in COSTS}
        return {name: factor * cost * (targets[name] != NONE) for name, cost in COSTS.items()}


def heard(model: nn.Module, codes: np.ndarray) -> Hearing:
    """What is heard in the songs a and b."""
    own = np.array_equal(codes[..., :9], song("a").view("accompaniment")[..., :9])
    features = np.full((codes.shape[-1], FEATURES), OWN if own else OTHER, np.float32)
    return Hearing(features, np.zeros((codes.shape[-1], 2), np.float32), FORMAT.frame_rate)


@pytest.mark.parametrize("frames", [120, 800])  # the other song is repeated, or cut
def test_the_bits_of_notes_under_each_condition(
    frames: int, prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    composer = KnownComposer()
    monkeypatch.setattr(prior.composer, "forward", composer)
    monkeypatch.setattr(likelihood, "listen", heard)
    bits = song_likelihood(prior, song("a"), song("b", frames)).notes
    assert bits is not None
    seconds = prior.composer.config.bars * 4 * 0.5  # the composer sees so many bars in training
    notes = sum(note["onset"] < seconds for note in FACTS["bass_notes"])
    assert [int((each["pitch"] >= 0).sum()) for each in composer.batches] == [notes] * 3
    onsets = int((composer.batches[0]["gap"] >= 0).sum())  # the last says that nothing follows
    assert notes <= onsets <= notes + 1
    nats = onsets * COSTS["onset"] + notes * (COSTS["pitch"] + COSTS["length"])
    per_second = nats / math.log(2) / seconds
    assert (bits.song, bits.none, bits.shuffled) == pytest.approx(
        (per_second, 2 * per_second, 3 * per_second)
    )


def test_another_song_lends_what_is_heard_and_nothing_else(prior: Prior) -> None:
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    measured = song_likelihood(prior, song("a"), song("b", frames=100)).notes
    itself = song_likelihood(prior, song("a"), song("a")).notes
    assert measured is not None
    assert itself is not None
    assert itself.shuffled == itself.song == measured.song != measured.shuffled
    assert itself.none == measured.none != measured.song


def test_a_song_whose_line_is_not_known_has_no_bits_of_notes(prior: Prior) -> None:
    unknown = song("a", 100, with_notes=False, song=None)
    measured = song_likelihood(prior, unknown, song("b", 100))
    assert measured.notes is None
    assert measured.codes > 0
    tracked = song_likelihood(prior, song("a", 100, song=None), song("b", 100))
    assert tracked.notes is not None  # the bars are found, and the notes were tracked


class KnownPerformer:
    """Its logits of the true codes lie above the others by 4 given the notes, else by 1.

    In the first `wrong[h]` frames of codebook h they are those of other codes.
    """

    def __init__(self, wrong: dict[int, int]) -> None:
        self.wrong = wrong
        self.scores: list[Tensor] = []

    def __call__(self, score: Tensor, history: Tensor) -> Tensor:
        self.scores.append(score)
        codes = history.clamp_min(0)
        for book, count in self.wrong.items():
            codes[:, book, :count] = (codes[:, book, :count] + 1) % CODES
        margin = 1.0 if (score[:, NOTE] == HIDDEN).all() else 4.0
        return margin * nn.functional.one_hot(codes.transpose(1, 2), CODES).float()


def cost(margin: float) -> float:
    """Bits of a code whose logit is above all others by `margin`."""
    return math.log2(math.exp(margin) + CODES - 1) - margin / math.log(2)


@pytest.mark.parametrize("frames", [50, WINDOW])  # of 50 frames, the others are padding
def test_the_bits_and_the_accuracy_of_codes(
    frames: int, prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    performer = KnownPerformer({})
    monkeypatch.setattr(prior.performer, "forward", performer)
    measured = song_likelihood(prior, song("a", frames), song("b", frames))
    assert measured.codes == pytest.approx(cost(4), rel=1e-4)
    assert measured.codes_alone == pytest.approx(cost(1), rel=1e-4)
    assert measured.code_accuracy == (1,) * CODEBOOKS
    with_notes, alone = performer.scores
    assert (alone[:, TONE] == with_notes[:, TONE]).all()
    assert (alone[:, TONE, :frames] != HIDDEN).all()
    performer.wrong = {2: 20, 3: frames}
    measured = song_likelihood(prior, song("a", frames), song("b", frames))
    right = [1.0] * CODEBOOKS
    right[2], right[3] = 1 - 20 / frames, 0.0
    assert measured.code_accuracy == pytest.approx(right)
    wrong = math.log2(math.exp(4) + CODES - 1)  # bits of a code whose logit is 0
    share = 1 - np.mean(right)
    assert measured.codes == pytest.approx((1 - share) * cost(4) + share * wrong, rel=1e-4)


def test_a_song_is_measured_in_a_few_windows(prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    performer = KnownPerformer({})
    monkeypatch.setattr(prior.performer, "forward", performer)
    song_likelihood(prior, song("a", (WINDOWS_A_SONG + 2) * WINDOW), song("b"))
    assert performer.scores[0].shape[0] == WINDOWS_A_SONG
    assert performer.scores[0].shape[-1] == WINDOW


def test_what_the_listener_names_in_whole_windows(prior: Prior) -> None:
    codes = song("a", WINDOW)
    measured = song_likelihood(prior, codes, song("b"))
    whole = collate([window(HeardSong.of(codes), 0, WINDOW, CODES)])
    assert (whole["root"] != UNKNOWN).all()
    expected = listening_accuracy(prior.listener(whole["accompaniment"]), whole)
    assert measured.listening == expected
    assert measured.seconds == codes.duration
    without = song_likelihood(prior, replace(codes, song=None), song("b")).listening
    assert math.isnan(without.root)
    assert without.pitch_class == expected.pitch_class
