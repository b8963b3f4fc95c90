"""The bass decoder: its shapes, its sound in pieces and as a whole, and what it refuses."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared.config import load_config
from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.sound.crossover import join_bands
from shared.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from stage1_vqvae.bass_decoder import decode
from stage1_vqvae.bass_decoder.config import PRESETS, BassDecoderConfig
from stage1_vqvae.bass_decoder.decode import (
    BassDecoder,
    Crossover,
    find_bass_decoder,
    load_bass_decoder,
)
from stage1_vqvae.bass_decoder.network import UNKNOWN, BassDecoderNetwork, exp_sigmoid
from tests.toy_bass import FORMAT, HOP, RATE, TINY, ToneCodec, lively_network, tone

FRAMES = 50
LENGTH = (FRAMES - 1) * HOP - 300


def song(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random codes `[2, FRAMES]` and notes `[FRAMES]`, with rests."""
    chance = np.random.default_rng(seed)
    codes = chance.integers(0, 8, (2, FRAMES)).astype(np.uint16)
    notes = np.repeat(chance.integers(0, NoteVocabulary.size, FRAMES // 5), 5).astype(np.uint8)
    notes[20:30] = NoteVocabulary.REST
    return codes, notes


def test_shapes_and_ranges_of_the_controls() -> None:
    codes, notes = (torch.from_numpy(x.astype(np.int64)) for x in song())
    reading = lively_network()(codes.T[None], notes[None])
    controls = reading.controls
    nodes = 4 * (FRAMES - 1) + 1
    assert controls.harmonics.shape == (1, nodes, 16)
    assert controls.noise.shape == (1, nodes, 8)
    assert controls.deviation.shape == (1, FRAMES)
    assert reading.note_logits.shape == (1, FRAMES, NoteVocabulary.size)
    assert (controls.harmonics > 0).all()
    assert controls.deviation.abs().max() < 1
    assert torch.equal(reading.tokens[0], notes)


def test_before_training_the_pitch_is_the_notes() -> None:
    codes, notes = (torch.from_numpy(x.astype(np.int64)) for x in song())
    controls = BassDecoderNetwork(TINY, FORMAT).controls(codes.T[None], notes[None])
    assert not controls.deviation.any()


def test_amplitudes_of_exp_sigmoid() -> None:
    found = exp_sigmoid(torch.tensor([-100.0, 0.0, 100.0]))
    assert found.tolist() == pytest.approx([1e-7, 2 * 0.5 ** np.log(10), 2])


def test_the_compact_preset_is_small() -> None:
    config = load_config(BassDecoderConfig, PRESETS, "compact")
    format = replace(FORMAT, codebooks=8, cardinality=64)
    network = BassDecoderNetwork(config.model, format)
    assert 3e6 < sum(weight.numel() for weight in network.parameters()) < 4.2e6


@pytest.mark.parametrize("chunk", [1, 7, 49])
@pytest.mark.parametrize("known", [True, False])
def test_the_sound_in_chunks_is_the_sound_of_the_whole(chunk: int, known: bool) -> None:
    codes, notes = song()
    given = notes if known else None
    network = lively_network()
    whole = BassDecoder(network, ToneCodec(), "toy").render(codes, given, LENGTH)
    pieces = BassDecoder(network, ToneCodec(), "toy", chunk_frames=chunk).render(
        codes, given, LENGTH
    )
    assert whole.shape == (LENGTH,)
    assert np.abs(whole).max() > 0.1
    np.testing.assert_allclose(pieces, whole, atol=1e-4)


def test_the_lows_are_the_codecs_and_the_highs_the_networks() -> None:
    codes, notes = song()
    decoder = BassDecoder(lively_network(), ToneCodec(), "toy", Crossover(200.0))
    sound = decoder.decode(codes, notes, LENGTH)
    assert sound.shape == (2, LENGTH)
    assert sound.dtype == np.float32
    low = np.tile(0.01 * tone(55.0, LENGTH), (2, 1))
    high = decoder.render(codes, notes, LENGTH)[None]
    np.testing.assert_array_equal(sound, join_bands(low, high, 200.0, RATE))


def test_a_second_decoding_is_the_same() -> None:
    decoder = BassDecoder(lively_network(), ToneCodec(), "toy")
    np.testing.assert_array_equal(decoder.decode(*song(), LENGTH), decoder.decode(*song(), LENGTH))


def test_the_pitch_is_that_of_the_notes() -> None:
    network = lively_network()
    torch.nn.init.zeros_(network.deviation_head.weight)
    torch.nn.init.zeros_(network.harmonic_head.weight)
    torch.nn.init.constant_(network.noise_head.bias, -100)
    torch.nn.init.zeros_(network.noise_head.weight)
    notes = np.full(FRAMES, NoteVocabulary.sustain(45), np.uint8)
    sound = BassDecoder(network, ToneCodec(), "toy").render(song()[0], notes, LENGTH)
    levels = np.abs(np.fft.rfft(sound[:RATE]))[:2000]
    assert set(np.argsort(levels)[-16:]) == {110 * k for k in range(1, 17)}


def test_unknown_notes_are_those_of_the_note_head() -> None:
    codes, notes = song()
    decoder = BassDecoder(lively_network(), ToneCodec(), "toy")
    found = decoder.find_notes(codes)
    inputs = torch.from_numpy(codes.astype(np.int64)).T[None]
    assert found.tolist() == decoder.network.note_logits(inputs)[0].argmax(-1).tolist()
    assert len(set(found.tolist())) > 3
    np.testing.assert_array_equal(
        decoder.render(codes, None, LENGTH), decoder.render(codes, found, LENGTH)
    )
    mixed = np.where(np.arange(FRAMES) < 25, notes.astype(np.int64), UNKNOWN)
    expected = np.where(np.arange(FRAMES) < 25, notes, found)
    np.testing.assert_array_equal(
        decoder.render(codes, mixed, LENGTH), decoder.render(codes, expected, LENGTH)
    )


@pytest.mark.parametrize(
    ("codes", "notes", "sentence"),
    [
        (np.zeros((2, 49), int), None, r"bass codes are \[2, 49\], but this needs \[2, 50\]"),
        (np.full((2, 50), 8), None, "a code is 8, but entries are 0 to 7"),
        (np.full((2, 50), -1), None, "a code is -1, but entries are 0 to 7"),
        (np.zeros((2, 50), int), np.zeros(49, int), r"notes are \[49\], but this needs \[50\]"),
        (np.zeros((2, 50), int), np.full(50, 97), "a note token is 97, but tokens are 0 to 96"),
        (np.zeros((2, 50), int), np.full(50, -2), "a note token is -2"),
    ],
)
def test_wrong_codes_and_notes_are_refused(
    codes: np.ndarray, notes: np.ndarray | None, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        BassDecoder(lively_network(), ToneCodec(), "toy").decode(codes, notes, LENGTH)


def save(path: Path, **changes: Any) -> Path:
    """Write the checkpoint of a lively network."""
    meta = {
        "stage": "bass-decoder",
        "config": asdict(BassDecoderConfig(model=TINY)),
        "codes": asdict(FORMAT),
        "crossover": {"hz": 250.0},
    } | changes
    save_checkpoint(path, lively_network().state_dict(), meta)
    return path


def test_a_checkpoint_is_loaded(tmp_path: Path) -> None:
    loaded = load_bass_decoder(save(tmp_path / "bass.safetensors"), ToneCodec())
    assert loaded.crossover == Crossover(250.0)
    expected = BassDecoder(lively_network(), ToneCodec(), "toy", Crossover(250.0))
    codes, notes = song()
    np.testing.assert_array_equal(
        loaded.decode(codes, notes, LENGTH), expected.decode(codes, notes, LENGTH)
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"codes": asdict(replace(FORMAT, fingerprint="other"))}, "codec checkpoint other, but"),
        ({"codes": {}}, "'codes.sources' is missing"),
        ({"crossover": {"hz": 1.0}}, "'crossover.hz' must be from 20 to 20000, not 1.0"),
        ({"stage": "vqvae"}, "is a checkpoint of stage 'vqvae', but one of 'bass-decoder'"),
        ({"config": asdict(BassDecoderConfig())}, "do not fit this model"),
    ],
)
def test_unusable_checkpoints_are_refused(
    changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    path = save(tmp_path / "bass.safetensors", **changes)
    with pytest.raises(UserError, match=sentence):
        load_bass_decoder(path, ToneCodec())


def test_a_decoder_whose_nodes_do_not_divide_a_frame_is_refused(tmp_path: Path) -> None:
    sizes = replace(TINY, upsampling=5)
    meta = {"stage": "bass-decoder", "config": asdict(BassDecoderConfig(model=sizes))}
    meta["codes"] = asdict(FORMAT)
    path = tmp_path / "bass.safetensors"
    save_checkpoint(path, BassDecoderNetwork(sizes, FORMAT).state_dict(), meta)
    with pytest.raises(UserError, match="must divide the 1024 samples of a frame, which 5 does"):
        load_bass_decoder(path, ToneCodec())


def test_a_crossover_above_the_codecs_sound_is_refused() -> None:
    codec = ToneCodec()
    codec.sample_rate = 8000
    with pytest.raises(UserError, match=r"no crossover at 5000 Hz, .* up to 4000 Hz"):
        BassDecoder(lively_network(), codec, "toy", Crossover(5000.0))


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Ship a toy decoder; the list grows by each checkpoint that is read."""
    read: list[Path] = []

    def load(path: Path, stage: str) -> Checkpoint:
        read.append(path)
        return load_checkpoint(path, stage)

    monkeypatch.setattr(decode, "SHIPPED", save(tmp_path / "shipped.safetensors"))
    monkeypatch.setattr(decode, "load_checkpoint", load)
    return read


def test_the_shipped_decoder_is_read_once_and_says_what_it_is(shipped: list[Path]) -> None:
    found = find_bass_decoder(None, ToneCodec())
    assert found is not None
    assert shipped == [decode.SHIPPED]
    meta = json.loads(decode.SHIPPED.with_suffix(".json").read_text())
    assert found.description() == {
        "bass_decoder": meta["fingerprint"],
        "crossover_hz": 250.0,
    }


def test_the_shipped_decoder_does_not_decode_other_codes(shipped: list[Path]) -> None:
    codec = ToneCodec()
    codec.fingerprint = "other"
    assert find_bass_decoder(None, codec) is None


def test_a_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no checkpoint at"):
        load_bass_decoder(tmp_path, ToneCodec())
