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


def sdr_windows(
    references: npt.NDArray[np.floating], estimates: npt.NDArray[np.floating], sample_rate: int
) -> Float:
    """SDR in dB of each source and second: `[S, C, N]` twice -> `[S, windows]`.

    Equal to `museval.metrics.bss_eval(..., window=sample_rate, hop=sample_rate)[0]`, save that
    museval refuses a source that is silent throughout. Here such a reference gets nan and such an
    estimate the formula's 0 dB, and neither silences the windows of the others.

    Raises:
        ValueError: the shapes differ, or are not `[S, C, N]`.
    """
    if references.shape != estimates.shape or references.ndim != 3:
        raise ValueError(
            f"references {references.shape} and estimates {estimates.shape} must be one [S, C, N]"
        )
    num_samples = references.shape[2]
    window = min(sample_rate, num_samples)
    num_windows = num_samples // window if window else 0
    sdr = np.full((len(references), num_windows), np.nan)
    # museval's test for silence is on the sum of the channels.
    sounding = [np.any(audio.sum(1) != 0, axis=1) for audio in (references, estimates)]
    for index in range(num_windows):
        seconds = slice(index * window, (index + 1) * window)
        s = references[:, :, seconds].astype(np.float64)
        e = estimates[:, :, seconds].astype(np.float64)
        if any(
            not np.all(np.any(audio[sounds].sum(1) != 0, axis=1))
            for audio, sounds in zip((s, e), sounding, strict=True)
        ):
            continue
        error = np.square(s - e).sum((1, 2))
        with np.errstate(divide="ignore", invalid="ignore"):
            sdr[:, index] = 10 * np.log10(np.square(s).sum((1, 2)) / error)
    sdr[~sounding[0]] = np.nan
    return sdr


def median_sdr(windows: Float) -> Float:
    """Median over the last axis without nan: a track's windows, or the tracks of a test set.

    nan where there is nothing but nan.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "All-NaN slice"
        return np.asarray(np.nanmedian(windows, axis=-1))


@dataclass(frozen=True, eq=False)
class CodeUsage:
    """How a codec uses its codebooks, each `[S, H]`.

    perplexity: 2 ** entropy of the codes; as many equally frequent entries would carry as much.
    usage: share of the entries that occur at all.
    entropy: bits per code.
    """

    perplexity: Float
    usage: Float
    entropy: Float


def count_codes(codes: npt.NDArray[np.uint16], cardinality: int) -> npt.NDArray[np.int64]:
    """Codes `[S, H, T]` -> how often each entry occurs `[S, H, m]`; add up over songs.

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
    """Counts `[S, H, m]` -> perplexity, usage and entropy."""
    share = counts / np.maximum(counts.sum(-1, keepdims=True), 1)
    entropy = -(share * np.log2(np.where(share > 0, share, 1))).sum(-1)
    return CodeUsage(perplexity=2**entropy, usage=(counts > 0).mean(-1), entropy=entropy)
