"""The incremental decoder must compute what x-transformers computes."""

import pytest
import torch

from shared.codes.codec import CodeFormat
from shared.config import load_config
from shared.music.notes import NoteVocabulary
from shared.sources import SOURCES
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.incremental import IncrementalDecoder, StepLogits
from stage2_prior.model import PAD, Prior, before

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def prior() -> Prior:
    torch.manual_seed(0)
    config = load_config(PriorConfig, PRESETS, "tiny", overrides=["model.window_seconds=4"]).model
    prior = Prior(config, CodeFormat(SOURCES, 8, 64, 44100, 1024, "codec"), "test").eval()
    with torch.no_grad():  # biases and gains of a trained model are not zero
        for parameter in prior.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return prior.requires_grad_(False)


def window(prior: Prior, batch: int, frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Memory of no song and of a song `[2, F, D]`, and delayed tokens `[B, K, n]`."""
    accompaniment = torch.randint(0, prior.dropped, (2, 4, 8, frames))
    accompaniment[0] = prior.dropped
    notes = torch.randint(0, NoteVocabulary.size, (batch, 1, frames))
    codes = torch.randint(0, prior.dropped, (batch, 8, frames))
    delayed = prior.pattern.apply(torch.cat((notes, codes), dim=1), PAD)
    return prior.encode(accompaniment), delayed


def assert_same(
    prior: Prior, steps: list[StepLogits], memory: torch.Tensor, delayed: torch.Tensor, first: int
) -> None:
    """The logits of `steps`, from step `first` on, are those of the whole window at once."""
    line = prior.decode(before(delayed))[:, first : first + len(steps)]
    codes = torch.stack([each.codes for each in steps], dim=1)
    assert (codes - prior.code_head(line)).abs().max() < TOLERANCE
    noted = min(first + len(steps), memory.shape[1]) - first  # the last steps have no note
    expected = prior.note_logits(line[None, :, :noted], memory[:, None, first : first + noted])
    notes = torch.stack([each.note for each in steps[:noted]], dim=2)
    assert (notes - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize("known", [0, 1, 70])
def test_cached_equals_uncached(prior: Prior, batch: int, known: int) -> None:
    memory, delayed = window(prior, batch, prior.window)
    decoder = IncrementalDecoder(prior, batch)
    steps = [decoder.start(memory, delayed[:, :, :known])]
    for step in range(known, delayed.shape[-1] - 1):
        steps.append(decoder.step(delayed[:, :, step]))
    assert len(steps) > 64
    assert_same(prior, steps, memory, delayed, known)


def test_a_second_window_remembers_nothing_of_the_first(prior: Prior) -> None:
    decoder = IncrementalDecoder(prior, 2)
    for frames in (prior.window, 100):
        memory, delayed = window(prior, 2, frames)
        steps = [decoder.start(memory, delayed[:, :, :30])]
        steps += [decoder.step(delayed[:, :, step]) for step in range(30, 100)]
        assert_same(prior, steps, memory, delayed, 30)


def test_another_kind_of_decoder_is_refused(prior: Prior) -> None:
    from x_transformers import Decoder

    config = prior.config
    other = Prior(config, prior.format, prior.fingerprint)
    other.decoder = Decoder(
        dim=config.dim, depth=1, heads=config.heads, sandwich_norm=True, rotary_pos_emb=True
    )
    with pytest.raises(TypeError, match="plain"):
        IncrementalDecoder(other, 1)
