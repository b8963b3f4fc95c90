"""Training mixtures depend on the step only, are divided among processes, and are as configured."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.errors import UserError
from shared.songs.cache import StemCache, build_cache
from shared.sources import SOURCES
from stage1_vqvae.config import RemixConfig
from stage1_vqvae.remix import EQUALISER_HZ, Remixer, equalise
from tests.conftest import WriteSong

RATE = 44100
PLAIN = RemixConfig(
    segment_seconds=0.25,
    coherent=1.0,
    absent=0.0,
    gain_low_db=0.0,
    gain_high_db=0.0,
    flip=False,
)


@pytest.fixture(scope="module")
def cache(stem_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> StemCache:
    return build_cache(stem_folder, tmp_path_factory.mktemp("cache"), RATE)


def remixer(cache: StemCache, config: RemixConfig, batch_size: int = 8, seed: int = 0) -> Remixer:
    return Remixer(cache.split("train"), config, RATE, seed, batch_size)


def test_shapes_and_values(cache: StemCache) -> None:
    batch = remixer(cache, RemixConfig(segment_seconds=0.25)).batch(0)
    assert batch["stems"].shape == (8, 4, 2, RATE // 4)
    assert batch["stems"].dtype == torch.float32
    for name in ("presence", "selection"):
        assert batch[name].shape == (8, 4)
        assert set(batch[name].unique().tolist()) <= {0.0, 1.0}


def test_a_batch_is_a_function_of_seed_and_step(cache: StemCache) -> None:
    first, again = (remixer(cache, RemixConfig(segment_seconds=0.1)).batch(5) for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    for other in (
        remixer(cache, RemixConfig(segment_seconds=0.1)).batch(6),
        remixer(cache, RemixConfig(segment_seconds=0.1), seed=1).batch(5),
    ):
        assert not torch.equal(first["stems"], other["stems"])


def test_processes_share_the_batch(cache: StemCache) -> None:
    make = remixer(cache, RemixConfig(segment_seconds=0.1))
    whole, shares = make.batch(3), [make.batch(3, rank, 2) for rank in range(2)]
    for name in whole:
        assert torch.equal(whole[name][0::2], shares[0][name])
        assert torch.equal(whole[name][1::2], shares[1][name])


def test_coherent_sources_come_from_one_moment_of_one_song(cache: StemCache) -> None:
    songs = {song.name: song.read_all() for song in cache.split("train")}
    for stems in remixer(cache, PLAIN).batch(0)["stems"].numpy():
        found = [
            (name, start)
            for name, whole in songs.items()
            for start in _occurrences(whole[0, 0], stems[0, 0])
            if np.array_equal(whole[..., start : start + stems.shape[-1]], stems)
        ]
        assert len(found) == 1


def test_incoherent_sources_come_from_different_songs(cache: StemCache) -> None:
    config = replace(PLAIN, coherent=0.0)
    batch = remixer(cache, config, batch_size=16).batch(0)["stems"].numpy()
    songs = {song.name: song.read_all() for song in cache.split("train")}

    def song_of(source: int, stem: np.ndarray) -> str:
        return next(n for n, whole in songs.items() if _occurrences(whole[source, 0], stem[0]).size)

    origins = [[song_of(s, stem) for s, stem in enumerate(stems)] for stems in batch]
    assert any(len(set(names)) > 1 for names in origins)


def test_an_absent_source_is_silent_and_marked(cache: StemCache) -> None:
    batch = remixer(cache, replace(PLAIN, absent=0.5), batch_size=16).batch(0)
    sounding = (batch["stems"].abs().amax((2, 3)) > 0).float()
    assert torch.equal(sounding, batch["presence"])
    assert 0 < batch["presence"].mean() < 1


def test_a_source_that_no_song_has_is_absent(write_song: WriteSong, tmp_path: Path) -> None:
    silence = np.zeros((RATE, 2), np.float32)
    for name in ("train/a", "train/b", "valid/c"):
        write_song(tmp_path / name, seconds=1.0, vocals=silence)
    cache = build_cache(tmp_path)
    for coherent in (0.0, 1.0):
        batch = remixer(cache, replace(PLAIN, coherent=coherent)).batch(0)
        assert not batch["presence"][:, SOURCES.index("vocals")].any()
        assert batch["presence"][:, 1:].all()


def decibels_of_gains(cache: StemCache, coherent: float) -> np.ndarray:
    """The gains `[examples, sources]` of mixtures drawn with gains from -6 to 4 dB."""
    config = replace(PLAIN, coherent=coherent, segment_seconds=0.02)
    plain, louder = (
        remixer(cache, replace(config, gain_low_db=low, gain_high_db=high), 64).batch(0)["stems"]
        for low, high in ((0.0, 0.0), (-6.0, 4.0))
    )
    gains = (louder.square().sum((2, 3)) / plain.square().sum((2, 3))).sqrt()
    torch.testing.assert_close(louder, plain * gains[..., None, None])
    return 20 * np.log10(gains.numpy())


@pytest.mark.parametrize("coherent", [0.0, 1.0])
def test_gains_are_drawn_evenly_from_their_range(cache: StemCache, coherent: float) -> None:
    gains = decibels_of_gains(cache, coherent)
    assert gains.min() == pytest.approx(-6, abs=0.5)
    assert gains.max() == pytest.approx(4, abs=0.5)
    assert gains.mean() == pytest.approx(-1, abs=0.8)


def test_coherent_sources_keep_their_balance_and_others_do_not(cache: StemCache) -> None:
    together = decibels_of_gains(cache, coherent=1.0)
    np.testing.assert_allclose(together, together[:, :1].repeat(4, axis=1), atol=1e-3)
    assert (np.ptp(decibels_of_gains(cache, coherent=0.0), axis=1) > 0.1).all()


@pytest.mark.parametrize("coherent", [0.0, 1.0])
def test_flipping_swaps_channels_and_inverts_polarity(cache: StemCache, coherent: float) -> None:
    """Each happens to half of the examples; coherent sources are inverted together."""
    config = replace(PLAIN, coherent=coherent, segment_seconds=0.02)
    plain = remixer(cache, config, 64).batch(0)["stems"]
    flipped = remixer(cache, replace(config, flip=True), 64).batch(0)["stems"]
    swapped = (plain.abs() != flipped.abs()).flatten(1).any(1)
    assert 0.3 < swapped.float().mean() < 0.7
    back = torch.where(swapped[:, None, None, None], flipped.flip(2), flipped)
    signs = (plain * back).sum((2, 3)).sign()
    torch.testing.assert_close(back, plain * signs[..., None, None])
    assert abs(signs.mean()) < 0.4
    assert (signs == signs[:, :1]).all().item() == (coherent == 1)


def test_the_equaliser_filters_whole_stems_within_its_gains() -> None:
    config = replace(PLAIN, equalised=0.5, equaliser_db=6.0)
    stems = np.random.default_rng(0).standard_normal((40, 2, 4410)).astype(np.float32)
    filtered = equalise(stems, RATE, config, np.random.default_rng(1))
    changed = np.abs(filtered - stems).max((1, 2)) > 1e-3
    assert 10 < changed.sum() < 30
    assert np.array_equal(filtered[~changed], stems[~changed])
    gains = 20 * np.log10(np.abs(np.fft.rfft(filtered) / np.fft.rfft(stems)))[changed, :, 1:-1]
    assert np.abs(gains).max() == pytest.approx(6, abs=0.5)
    np.testing.assert_allclose(gains[:, 0], gains[:, 1], atol=0.01)
    hertz = np.fft.rfftfreq(4410, 1 / RATE)[1:-1]
    outside = gains[:, 0, hertz > EQUALISER_HZ[1]]
    np.testing.assert_allclose(outside, outside[:, :1].repeat(outside.shape[1], 1), atol=0.01)


def test_an_equaliser_without_gains_changes_nothing(cache: StemCache) -> None:
    plain = remixer(cache, PLAIN).batch(2)["stems"]
    flat = remixer(cache, replace(PLAIN, equalised=1.0, equaliser_db=0.0)).batch(2)["stems"]
    torch.testing.assert_close(flat, plain, atol=1e-6, rtol=0)
    coloured = remixer(cache, replace(PLAIN, equalised=1.0)).batch(2)["stems"]
    assert (coloured - plain).abs().max() > 0.01


def test_songs_are_drawn_in_proportion_to_their_length(
    write_song: WriteSong, tmp_path: Path
) -> None:
    for name, seconds, level in (("train/long", 3, 0.1), ("train/short", 1, 0.2)):
        stems = dict.fromkeys(SOURCES, np.full((seconds * RATE, 2), level))
        write_song(tmp_path / name, seconds, **stems)
    write_song(tmp_path / "valid/other")
    batch = remixer(build_cache(tmp_path), replace(PLAIN, segment_seconds=0.1), 100).batch(0)
    from_long = batch["stems"][:, 0, 0, 0] < 0.15
    assert 0.62 < from_long.float().mean() < 0.88


@pytest.mark.parametrize("absent", [0.1, 0.6])
def test_sources_are_absent_with_the_chance_asked_for(cache: StemCache, absent: float) -> None:
    config = replace(PLAIN, absent=absent, segment_seconds=0.01)
    presence = remixer(cache, config, 128).batch(0)["presence"]
    assert 1 - presence.mean().item() == pytest.approx(absent, abs=0.06)


def test_a_song_shorter_than_the_segment_is_padded(cache: StemCache) -> None:
    batch = remixer(cache, replace(PLAIN, segment_seconds=3.0)).batch(0)["stems"]
    assert batch.shape[-1] == 3 * RATE
    assert not batch[..., 2 * RATE :].any()


@pytest.mark.parametrize("coherent", [0.0, 1.0])
def test_some_mixtures_hold_one_source(cache: StemCache, coherent: float) -> None:
    config = replace(PLAIN, segment_seconds=0.1, alone=0.3, coherent=coherent)
    batch = remixer(cache, config, batch_size=200).batch(0)
    sounding = (batch["stems"].abs().amax((2, 3)) > 0).sum(1)
    assert torch.equal(batch["presence"].sum(1).long(), sounding)
    assert (sounding == 1).float().mean().item() == pytest.approx(0.3, abs=0.1)


def test_single_source_selections(cache: StemCache) -> None:
    always = remixer(cache, replace(PLAIN, single_source=1.0)).batch(0)["selection"]
    assert (always.sum(1) == 1).all()


def test_other_selections_take_each_source_with_a_chance_of_one_half(cache: StemCache) -> None:
    config = replace(PLAIN, single_source=0.0, segment_seconds=0.01)
    selection = remixer(cache, config, 128).batch(0)["selection"]
    assert selection.mean().item() == pytest.approx(0.5, abs=0.08)
    assert set(selection.sum(1).tolist()) == {0, 1, 2, 3, 4}
    some = remixer(cache, replace(config, single_source=0.5), 128).batch(0)["selection"]
    expected = 0.5 + 0.5 * 4 / 16  # one source is also what 4 of the 16 selections take
    assert (some.sum(1) == 1).float().mean().item() == pytest.approx(expected, abs=0.12)


def test_single_source_selections_choose_sources_that_sound(cache: StemCache) -> None:
    config = replace(PLAIN, single_source=1.0, absent=0.5)
    batch = remixer(cache, config, batch_size=64).batch(0)
    selection, presence = batch["selection"], batch["presence"]
    some, all_of_them = presence.any(1), presence.all(1)
    assert some.any()
    assert not all_of_them.all()
    assert (selection[some].sum(1) == 1).all()
    assert (selection[some] <= presence[some]).all()


def test_no_songs_is_a_user_error() -> None:
    with pytest.raises(UserError, match="train"):
        Remixer([], PLAIN, RATE, 0, 1)


def _occurrences(whole: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Find where `part` may start in `whole`, by its first samples."""
    windows = np.lib.stride_tricks.sliding_window_view(whole, 8)[: len(whole) - len(part) + 1]
    return np.flatnonzero((windows == part[:8]).all(1))
