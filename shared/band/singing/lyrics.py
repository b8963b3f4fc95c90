"""Invented lyrics of common English words, a syllable for each note.

A word that has several syllables is spelled by parts that a speech synthesiser says alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

# Each word class: words parted by spaces; "written=first+second" spells the syllables out.
_WORDS = {
    "noun": "love night day time heart sea sky rain moon sun star fire road home hand dream light "
    "song world ghost storm gold street train stone wave smile name face tear year word door "
    "sound line place shore field river=rih+ver summer=sum+er morning=more+ning city=sit+tee "
    "shadow=shad+oh window=win+doe ocean=oh+shun water=wah+ter mountain=mown+ten",
    "verb": "love need want know feel see hear hold call chase lose find keep leave miss break "
    "follow=fah+low remember=ree+mem+burr believe=bee+leave",
    "moving": "run walk fly fall stay dance sing shine burn drive wait rise sleep go dream cry "
    "wander=wan+der surrender=sir+ren+der",
    "kind": "cold blue long deep high low bright wild slow last free sweet dark red lost strange "
    "silver=sill+ver golden=goal+den lonely=lone+lee silent=sigh+lent empty=em+tee",
    "whose": "my your the our this",
    "person": "I you we they",
    "object": "me you us them",
    "where": "in through on near past",
    "when": "now here there still then tonight=too+night again=uh+gain away=uh+way "
    "forever=for+ev+er",
    "call": "oh hey so baby=bay+bee darling=dar+ling",
    "vocalise": "la oh ah na ooh hey da yeah",
}
_LINES = (
    "person verb whose noun",
    "person verb whose kind noun",
    "moving where whose noun when",
    "whose noun where whose kind noun",
    "call person verb object when",
    "person moving where whose kind noun",
    "kind noun kind noun",
    "call moving where object",
    "person verb object like=like whose noun",
    "when person moving",
)
_VOCALISE_LINE = 0.15  # the chance that a line has no words
_WORDLESS_SONG = 0.08


@dataclass(frozen=True)
class LyricSyllable:
    """One syllable of a song's words.

    Attributes:
        text: what a speech synthesiser is to say.
        word: the word that it is part of, as it is written.
        first: whether the word begins with it.
    """

    text: str
    word: str
    first: bool


def _read(entry: str) -> tuple[LyricSyllable, ...]:
    word, _, parts = entry.partition("=")
    texts = parts.split("+") if parts else [word]
    return tuple(LyricSyllable(text, word, index == 0) for index, text in enumerate(texts))


_CLASSES = {name: [_read(entry) for entry in text.split()] for name, text in _WORDS.items()}


def all_syllables() -> tuple[str, ...]:
    """Return every text that invented lyrics can hold, sorted."""
    words = [word for entries in _CLASSES.values() for word in entries]
    return tuple(sorted({part.text for word in words for part in word} | {"like"}))


def write_lyrics(rng: np.random.Generator) -> Iterator[LyricSyllable]:
    """Yield syllables without end: a few lines that come again, as verses and a chorus do."""
    wordless = rng.random() < _WORDLESS_SONG
    lines = [_write_line(rng, wordless or rng.random() < _VOCALISE_LINE) for _ in range(12)]
    chorus, verses = lines[:4], lines[4:]
    while True:
        for start in (0, 4):
            for line in (*verses[start : start + 4], *chorus):
                yield from line


def _write_line(rng: np.random.Generator, vocalise: bool) -> list[LyricSyllable]:
    def draw(name: str) -> tuple[LyricSyllable, ...]:
        entries = _CLASSES[name]
        return entries[int(rng.integers(len(entries)))]

    if vocalise:
        return [part for _ in range(int(rng.integers(1, 3))) for part in draw("vocalise") * 4]
    line: list[LyricSyllable] = []
    for slot in _LINES[int(rng.integers(len(_LINES)))].split():
        line += draw(slot) if slot in _CLASSES else _read(slot)
    return line
