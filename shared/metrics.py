"""Figures that say how well sources are rebuilt and how well codebooks are used.

SDR follows BSSEval v4 as museval computes it for MUSDB18: per window of 1 s without overlap,
10 log10(|s|^2 / |s - e|^2) over both channels; then the median over the windows of a track, then
the median over tracks. The last, incomplete second is dropped. A window in which any source or
any estimate is silent counts for no source (nan).
"""

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]


class SdrMeter:
    """SDR of a track whose stems and estimates arrive piece by piece, so that neither is held.

    Equal to `museval.metrics.bss_eval(..., window=sample_rate, hop=sample_rate)[0]`, with one
    exception: museval refuses a source that is silent throughout. Here such a reference scores nan
    and such an estimate the formula's 0 dB, and neither makes the windows of the others count as
    silent.
    """

    def __init__(self, num_sources: int, num_samples: int, sample_rate: int) -> None:
        """Prepare for a track of `num_samples` samples, of which none have arrived yet."""
        self._window = max(1, min(sample_rate, num_samples))
        windows = -(-num_samples // self._window)
        self._complete = num_samples // self._window
        self._energy = np.zeros((num_sources, windows))
        self._error = np.zeros((num_sources, windows))
        # Of references and estimates: whether they sound in each window.
        self._sounds = np.zeros((2, num_sources, windows), np.bool_)

    def add(
        self,
        start: int,
        references: npt.NDArray[np.floating],
        estimates: npt.NDArray[np.floating],
    ) -> None:
        """Add a piece of the track, `[S, C, n]` twice, that begins at the sample `start`.

        Pieces may have any length and come in any order, but must not overlap.

        Raises:
            ValueError: the shapes differ, or are not `[S, C, n]`.
        """
        if references.shape != estimates.shape or references.ndim != 3:
            raise ValueError(
                f"references {references.shape} and estimates {estimates.shape} must both be "
                "[sources, channels, samples]"
            )
        stop = start + references.shape[-1]
        for index in range(start // self._window, -(-stop // self._window)):
            first = max(0, index * self._window - start)
            piece = slice(first, (index + 1) * self._window - start)
            s = references[:, :, piece].astype(np.float64)
            e = estimates[:, :, piece].astype(np.float64)
            self._energy[:, index] += np.square(s).sum((1, 2))
            self._error[:, index] += np.square(s - e).sum((1, 2))
            for kind, audio in enumerate((s, e)):
                # museval's test for silence is on the sum of the channels.
                self._sounds[kind, :, index] |= np.any(audio.sum(1) != 0, axis=1)

    def windows(self) -> Float:
        """Return the SDR in dB of each source and complete window, `[S, windows]`."""
        silent_throughout: npt.NDArray[np.bool_] = ~np.any(self._sounds, axis=2)
        scored = np.all(self._sounds | silent_throughout[..., None], axis=(0, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            sdr = 10 * np.log10(self._energy / self._error)
        sdr[:, ~scored] = np.nan
        sdr[silent_throughout[0]] = np.nan
        return sdr[:, : self._complete]


def sdr_windows(
    references: npt.NDArray[np.floating], estimates: npt.NDArray[np.floating], sample_rate: int
) -> Float:
    """Compute the SDR in dB of each source and second: `[S, C, N]` twice to `[S, windows]`.

    Raises:
        ValueError: the shapes differ, or are not `[S, C, N]`.
    """
    meter = SdrMeter(len(references), references.shape[-1], sample_rate)
    meter.add(0, references, estimates)
    return meter.windows()


def median_sdr(windows: Float) -> Float:
    """Compute the median over the last axis without nan; nan where there is nothing but nan.

    The last axis holds the windows of a track or the tracks of a test set.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "All-NaN slice"
        return np.asarray(np.nanmedian(windows, axis=-1))


@dataclass(frozen=True, eq=False)
class CodeUsage:
    """How a codec uses its codebooks; each attribute is `[S, H]`.

    Attributes:
        perplexity: 2 ** entropy; so many equally frequent entries would carry as much information.
        usage: the share of the entries that occur at all.
        entropy: bits per code.
    """

    perplexity: Float
    usage: Float
    entropy: Float


def count_codes(codes: npt.NDArray[np.uint16], cardinality: int) -> npt.NDArray[np.int64]:
    """Count how often each entry occurs: codes `[S, H, T]` to counts `[S, H, m]`.

    The counts of several songs can be added up.

    Raises:
        ValueError: a code is not below `cardinality`.
    """
    num_sources, num_codebooks, _ = codes.shape
    if codes.size and codes.max() >= cardinality:
        raise ValueError(f"code {codes.max()} in codebooks of {cardinality} entries")
    rows = np.arange(num_sources * num_codebooks).reshape(num_sources, num_codebooks, 1)
    flat = (rows * cardinality + codes).ravel()
    counts = np.bincount(flat, minlength=num_sources * num_codebooks * cardinality)
    return counts.reshape(num_sources, num_codebooks, cardinality)


def code_usage(counts: npt.NDArray[np.int64]) -> CodeUsage:
    """Compute perplexity, usage and entropy from counts `[S, H, m]`."""
    share = counts / np.maximum(counts.sum(-1, keepdims=True), 1)
    entropy = -(share * np.log2(np.where(share > 0, share, 1))).sum(-1)
    return CodeUsage(perplexity=2**entropy, usage=(counts > 0).mean(-1), entropy=entropy)
