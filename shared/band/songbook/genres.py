"""Which of the band's styles suits a song: by the words of its source, its meter and its tempo."""

from __future__ import annotations

import re

import numpy as np

from shared.band.composing.style import Style, styles

# Words of a genre -> styles that suit it, the likelier ones named more often. The first match
# holds.
_SUITED: tuple[tuple[str, str], ...] = (
    (r"bossa|samba|mpb", "bossa bossa latin"),
    (r"latin|mambo|salsa|cha-?cha|rh?umba|tango|flamenco|calypso|african", "latin latin bossa"),
    (r"reggae|\bska\b|\bdub\b", "reggae"),
    (r"disco", "disco disco house funk"),
    (r"drum ?(n|and|&) ?bass|\bdnb\b|jungle", "dnb"),
    (r"house|techno|trance|\bbeat\b|dance", "house house disco synthwave"),
    (r"synth|electronic|downtempo|ambient|\bidm\b", "synthwave synthwave house hiphop"),
    (r"hip.?hop|\brap\b|\btrap\b", "hiphop"),
    (r"funk", "funk funk soul disco hiphop"),
    (r"soul|gospel|rhythm & blues|motown|doo.?wop", "soul soul soul blues ballad"),
    (r"metal|industrial", "metal metal rock"),
    (r"punk|\boi\b", "punk punk rock"),
    (r"blues|boogie|shuffle", "blues blues rock swing"),
    (r"ballad", "ballad ballad ballad soul bossa pop"),
    (r"waltz", "swing ballad folk country pop"),
    (r"swing|jazz|\bbop\b|big band|dixieland|ragtime", "swing swing swing swing bossa latin soul"),
    (r"country|bluegrass|rockabilly|polka|zydeco|honky|western", "country country folk"),
    (r"folk|celtic|\bjigs?\b|reel|morris|march", "folk folk folk country pop"),
    (r"rock", "rock rock rock rock pop punk metal country soul blues"),
    (
        r"pop|vocal|musical|stage|easy",
        "pop pop pop pop rock rock soul soul ballad disco country synthwave reggae funk house "
        "hiphop",
    ),
)
# How likely a style is where the song's tempo lies in its range, and where half or twice of it
# does.
_AS_WRITTEN, _DOUBLED = 1.0, 0.25


def choose_style(
    rng: np.random.Generator, words: str | None, meter: str, tempo: float | None
) -> tuple[Style, float]:
    """Choose a style that has `meter` and suits a genre's words, and the tempo of the song.

    The tempo is `tempo`, or half or twice of it, if one of them lies in the style's range.
    Otherwise it is the nearest end of the range. If `tempo` is None, it is drawn from the range.
    """
    suited = [style for style in _suited(words) if meter in style.meters]
    suited = suited or [style for style in styles().values() if meter in style.meters]
    weights = np.array([_fit(style, meter, tempo) for style in suited])
    if not weights.any():
        distances = np.array([_nearest(style, meter, tempo)[1] for style in suited])
        weights = (distances == distances.min()).astype(float)
    style = suited[int(rng.choice(len(suited), p=weights / weights.sum()))]
    return style, play_tempo(rng, style, meter, tempo)


def play_tempo(rng: np.random.Generator, style: Style, meter: str, tempo: float | None) -> float:
    """Choose the tempo at which `style` plays a song of `tempo` in `meter`, as in choose_style."""
    drawn = float(rng.uniform(*style.meters[meter].tempo))
    return round(drawn if tempo is None else _nearest(style, meter, tempo)[0], 2)


def suits(words: str | None, style: Style) -> bool:
    """Return whether a style suits a genre's words; every style does where they say nothing."""
    return style in _suited(words)


def _suited(words: str | None) -> list[Style]:
    for pattern, names in _SUITED:
        if words and re.search(pattern, words, re.IGNORECASE):
            return [styles()[name] for name in names.split()]
    return list(styles().values())


def _fit(style: Style, meter: str, tempo: float | None) -> float:
    low, high = style.meters[meter].tempo
    if tempo is None or low <= tempo <= high:
        return _AS_WRITTEN
    return _DOUBLED if any(low <= tempo * factor <= high for factor in (0.5, 2.0)) else 0.0


def _nearest(style: Style, meter: str, tempo: float | None) -> tuple[float, float]:
    """Return the tempo to play at, and how far the range lies from it, in octaves."""
    low, high = style.meters[meter].tempo
    if tempo is None:
        return low, 0.0
    played = [
        (min(max(tempo * factor, low), high), tempo * factor, factor) for factor in (1.0, 0.5, 2.0)
    ]
    best = min(played, key=lambda item: (abs(np.log2(item[0] / item[1])), item[2] != 1.0))
    return best[0], float(abs(np.log2(best[0] / best[1])))
