"""The likelihood of the true bass, with a model whose probabilities are known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shared.config import load_config
from shared.music.notes import NoteVocabulary
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.likelihood import (
    WINDOWS_A_SONG,
    measure_encoder,
    measure_likelihood,
    song_likelihood,
)
from stage2_prior.model import MASK, PAD, EncoderLogits, Prior, PriorLogits
from stage2_prior.sequences import SongTokens, Window
from tests.toy_songs import FORMAT, WINDOW, make_song

NOTES, CODES, CODEBOOKS = NoteVocabulary.size, FORMAT.cardinality, FORMAT.codebooks
OWN, OTHER, NONE = 4.0, 1.0, 2.0  # how much higher the logit of the true note is than the others


class KnownModel(nn.Module):
    """Knows two songs, and how well it predicts them depends on the accompaniment that it is given.

    The logit of every true note is above the others by OWN, OTHER or NONE, and that of every true
    code by 3. The encoder names the true note in even frames, and the root G everywhere.
    """

    def __init__(self, song: SongTokens, other: SongTokens) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.song, self.other = song, other
        self.histories: list[Tensor] = []

    def margin(self, accompaniment: Tensor) -> float:
        codes = accompaniment[0].numpy()
        if (codes == CODES).all():
            return NONE
        if np.array_equal(codes[..., :9], self.other.accompaniment[..., :9]):
            return OTHER
        assert np.array_equal(codes[..., :9], self.song.accompaniment[..., :9])
        return OWN

    def forward(
        self, accompaniment: Tensor, tokens: Tensor | None = None
    ) -> PriorLogits | EncoderLogits:
        frames = accompaniment.shape[-1]
        true = torch.zeros(9, frames, dtype=torch.long)
        length = min(frames, self.song.frames)
        true[:, :length] = torch.from_numpy(self.song.tokens[:, :length].astype(np.int64))
        note = nn.functional.one_hot(true[None, 0], NOTES).float()
        codes = nn.functional.one_hot(true[None, 1:].transpose(1, 2), CODES).float()
        guess = true[0].clone()
        guess[1::2] = NoteVocabulary.REST
        root = nn.functional.one_hot(torch.full((1, frames), 7), 12).float()
        encoder = EncoderLogits(50 * nn.functional.one_hot(guess[None], NOTES).float(), root)
        if tokens is None:
            return encoder
        self.histories.append(tokens)
        return PriorLogits(self.margin(accompaniment) * note, 3 * codes, encoder)


def cost(margin: float, size: int) -> float:
    """Bits of a token whose logit is above all others by `margin`."""
    return math.log2(math.exp(margin) + size - 1) - margin / math.log(2)


def songs(frames: int = 50, unknown: int = 0) -> tuple[SongTokens, SongTokens]:
    """Two songs, whose first `unknown` notes are not known."""
    confidence = np.full(frames, 0.5, np.float32)
    confidence[:unknown] = 0
    chords = {
        "chords": [{"start": 0.0, "end": 0.5, "root": 7}, {"start": 0.5, "end": 1, "root": 2}]
    }
    made = (
        make_song(name, "valid", frames, note_confidence=confidence, song=chords) for name in "ab"
    )
    first, second = (SongTokens.of(song) for song in made)
    return first, second


@pytest.mark.parametrize("window", [50, 80])  # 80 frames: 30 of them are padding
@pytest.mark.parametrize("unknown", [0, 10])
def test_bits_under_each_condition(window: int, unknown: int) -> None:
    song, other = songs(unknown=unknown)
    model = KnownModel(song, other)
    measured = measure_likelihood(
        model, FORMAT, [Window(song, 0, window)], [Window(other, 0, window)]
    )
    assert measured.frames == 50
    per_frame = CODEBOOKS * cost(3, CODES)
    share = (50 - unknown) / 50  # notes that are not known cost nothing
    for name, margin in (("conditional", OWN), ("unconditional", NONE), ("shuffled", OTHER)):
        bits, note = measured.bits[name], share * cost(margin, NOTES)
        assert bits.note_per_second == pytest.approx(FORMAT.frame_rate * note, rel=1e-4)
        assert bits.per_second == pytest.approx(FORMAT.frame_rate * (note + per_frame), rel=1e-4)
        assert bits.per_code == pytest.approx(cost(3, CODES), rel=1e-4)
    assert measured.note_accuracy == 1
    assert measured.code_accuracy == pytest.approx((1,) * CODEBOOKS)
    for history in model.histories:
        assert (history[:, :, 50:] == PAD).all()
        assert (history[:, 0, :unknown] == MASK).all()
        assert (history[:, 0, unknown:50] >= 0).all()
        assert (history[:, 1:, :50] >= 0).all()


def test_without_another_song_nothing_is_shuffled() -> None:
    song, other = songs()
    measured = measure_likelihood(KnownModel(song, other), FORMAT, [Window(song, 0, 50)], [])
    assert set(measured.bits) == {"conditional", "unconditional"}


def test_the_accuracy_of_each_codebook() -> None:
    song, other = songs()
    tokens = song.tokens.copy()
    tokens[3, :20] = (tokens[3, :20] + 1) % CODES  # codebook 2 is mostly right
    tokens[4] = (tokens[4] + 1) % CODES  # codebook 3 is always wrong
    tokens[0, :25] = 1 + tokens[0, :25] % 96
    wrong = replace(song, tokens=tokens)
    model = KnownModel(song, other)
    measured = measure_likelihood(model, FORMAT, [Window(wrong, 0, 60)], [])
    assert measured.code_accuracy == pytest.approx((1, 1, 0.6, 0, 1, 1, 1, 1))
    assert measured.note_accuracy == 0.5


def test_what_the_encoder_predicts_alone() -> None:
    song, other = songs()
    model = KnownModel(song, other)
    alone = measure_encoder(model, FORMAT, [Window(song, 0, 60)])
    assert not model.histories  # the decoder did not run
    assert alone == measure_likelihood(model, FORMAT, [Window(song, 0, 60)], []).encoder
    assert alone.frames == 50
    assert alone.pitch_class == 0.5
    known = song.root >= 0
    assert alone.frames_with_root == known.sum()
    assert alone.root == pytest.approx((song.root == 7).sum() / known.sum())


def test_a_song_is_measured_in_a_few_windows_and_another_lends_its_accompaniment() -> None:
    prior = Prior(load_config(PriorConfig, PRESETS, "tiny").model, FORMAT, "untrained").eval()
    frames = WINDOW * (WINDOWS_A_SONG + 2)
    song, other = (SongTokens.of(make_song(name, "test", frames)) for name in "ab")
    measured = song_likelihood(prior, song, other)
    assert measured.frames == WINDOWS_A_SONG * WINDOW
    expected_bits = math.log2(NOTES) + CODEBOOKS * math.log2(CODES)
    own = measured.bits["conditional"]
    assert own.per_second == pytest.approx(prior.format.frame_rate * expected_bits, rel=0.3)
    assert measured.bits["shuffled"] != own != measured.bits["unconditional"]
    with_itself = song_likelihood(prior, song, song).bits
    assert with_itself["shuffled"] == with_itself["conditional"]
    short = SongTokens.of(make_song("c", "test", WINDOW))  # one window, which is lent repeatedly
    assert song_likelihood(prior, song, short).frames == measured.frames
