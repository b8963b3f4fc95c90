"""The bass decoder: its shapes, its sound in pieces and as a whole, and what it refuses."""

import json
import weakref
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared.config import load_config
from shared.errors import UserError
from shared.music.notes import NoteVocabulary
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
from stage1_vqvae.spectral import analyse
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
    assert 4e6 < sum(weight.numel() for weight in network.parameters()) < 5e6  # 10 MB in half


@pytest.mark.parametrize("chunk", [1, 7, 49])
@pytest.mark.parametrize("known", [True, False])
def test_the_sound_in_chunks_is_the_sound_of_the_whole(chunk: int, known: bool) -> None:
    codes, notes = song()
    given = notes if known else None
    network = lively_network()
    whole = BassDecoder(network, ToneCodec(), "toy").decode(codes, given, LENGTH)
    pieces = BassDecoder(network, ToneCodec(), "toy", chunk_frames=chunk).decode(
        codes, given, LENGTH
    )
    assert whole.shape == (2, LENGTH)
    assert np.abs(whole).max() > 0.1
    np.testing.assert_allclose(pieces, whole, atol=1e-4)


def test_what_was_played_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = BassDecoder(lively_network(), ToneCodec(), "toy", chunk_frames=1)
    render, made, alive = decoder._render_blocks, list[weakref.ref[Any]](), list[int]()

    def noted(*arguments: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for lows, highs in render(*arguments):
            made.append(weakref.ref(lows))
            alive.append(sum(each() is not None for each in made))
            yield lows, highs

    monkeypatch.setattr(decoder, "_render_blocks", noted)
    decoder.decode(*song(), LENGTH)
    assert len(alive) == FRAMES - 1
    assert max(alive) <= 2


def spectrum_of(network: BassDecoderNetwork) -> np.ndarray:
    """Decode the song with a crossover of 200 Hz; return the magnitudes of a second, by Hz."""
    sound = BassDecoder(network, ToneCodec(), "toy", Crossover(200.0)).decode(*song(), LENGTH)
    assert sound.dtype == np.float32
    np.testing.assert_array_equal(sound[0], sound[1])
    return np.abs(np.fft.rfft(sound[0, :RATE] * np.hanning(RATE)))


def test_below_the_crossover_are_the_lows_and_above_it_the_synthesiser() -> None:
    both, low, high = spectrum_of(lively_network()), lively_network(), lively_network()
    torch.nn.init.zeros_(low.lows.head.weight)
    for head in (high.harmonic_head, high.noise_head):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.constant_(head.bias, -100)
    np.testing.assert_allclose(spectrum_of(low)[300:], both[300:], atol=0.02 * both.max())
    np.testing.assert_allclose(spectrum_of(high)[:100], both[:100], atol=0.02 * both.max())
    assert spectrum_of(low)[:100].max() < 0.02 * both[:100].max()
    assert spectrum_of(high)[400:5000].max() < 0.1 * both[400:5000].max()


def test_the_lows_are_those_of_their_spectrum() -> None:
    lows = lively_network().lows
    sound = torch.from_numpy(tone(110.0, 20 * HOP))[None]
    frames = analyse(torch.nn.functional.pad(sound, (HOP, HOP)), HOP)
    made = lows.synthesise(frames[..., : lows.bins])
    assert made.shape == (1, 20 * HOP)
    inside = slice(2 * HOP, -2 * HOP)
    torch.testing.assert_close(made[:, inside], sound[:, inside], rtol=0, atol=5e-3)


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
    decoder = BassDecoder(network, ToneCodec(), "toy", Crossover(50.0))
    sound = decoder.decode(song()[0], notes, LENGTH)[0]
    levels = np.abs(np.fft.rfft(sound[:RATE]))[:2000]
    assert set(np.argsort(levels[105:])[-16:] + 105) == {110 * k for k in range(1, 17)}


def test_unknown_notes_are_those_of_the_note_head() -> None:
    codes, notes = song()
    decoder = BassDecoder(lively_network(), ToneCodec(), "toy")
    found = decoder.find_notes(codes)
    inputs = torch.from_numpy(codes.astype(np.int64)).T[None]
    assert found.tolist() == decoder.network.note_logits(inputs)[0].argmax(-1).tolist()
    assert len(set(found.tolist())) > 3
    np.testing.assert_array_equal(
        decoder.decode(codes, None, LENGTH), decoder.decode(codes, found, LENGTH)
    )
    mixed = np.where(np.arange(FRAMES) < 25, notes.astype(np.int64), UNKNOWN)
    expected = np.where(np.arange(FRAMES) < 25, notes, found)
    np.testing.assert_array_equal(
        decoder.decode(codes, mixed, LENGTH), decoder.decode(codes, expected, LENGTH)
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
        ({"crossover": {"hz": 1.0}}, "'crossover.hz' must be from 20 to 480"),
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
    codec.sample_rate = 800
    with pytest.raises(UserError, match=r"no crossover at 450 Hz, .* up to 400 Hz"):
        BassDecoder(lively_network(), codec, "toy", Crossover(450.0))


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
