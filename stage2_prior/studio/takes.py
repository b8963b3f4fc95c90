"""Make a take: a new line, a part of one written anew, or notes that were edited, performed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.codes.codec import Codec
from shared.errors import require
from shared.music.key_estimation import key_of_chords
from shared.music.notes import notes_to_tokens
from shared.sound.files import read_audio, write_wav
from shared.sound.samples import Samples, resample_to, unclipped
from shared.sound.sliced import whole
from shared.times import TimeRange
from stage2_prior.edits import freed
from stage2_prior.heard_song import SongEvidence
from stage2_prior.line_sound import listening, render_line
from stage2_prior.performer.sampling import FREE
from stage2_prior.performer.tone import TONES
from stage2_prior.sampling import SamplingSettings, Wishes, generate
from stage2_prior.studio.band import Band
from stage2_prior.studio.json_values import joined
from stage2_prior.studio.opening import OpenedSong
from stage2_prior.studio.orders import MakeTake
from stage2_prior.studio.song_facts import WORD_SIZE
from stage2_prior.studio.splicing import changed_bars, spliced_notes, spliced_sound
from stage2_prior.studio.take_files import (
    BASS_FILE,
    CODES_FILE,
    TakeFacts,
    new_take,
    take_folder,
)

Tokens = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Take:
    """A take that another one is made of.

    Attributes:
        facts: what is known of it.
        tokens: its note tokens and codes `[1 + H, T]`.
        bass: its sound `[2, N]` at the song's sample rate.
    """

    facts: TakeFacts
    tokens: Tokens
    bass: Samples


def make_take(order: MakeTake, band: Band, progress: Callable[[str, float], None]) -> None:
    """Make a take, and write it into the folder of its session.

    Raises:
        UserError: the range, the chords or the ranges do not fit the song, or no note of a given
            line differs from the parent's.
    """
    started = time.monotonic()
    codec, options = band.codec, order.options
    progress("fetching the song", 0.0)
    song = OpenedSong.load(order.session, codec)
    parent = None if order.parent is None else _load(order, order.parent)
    ranges = _ranges(order, song, parent, codec.frame_rate)
    settings = SamplingSettings.of(
        band.prior,
        seed=order.number,
        note_temperature=band.prior.sampling.note_temperature * options.boldness,
    )
    progress("writing and playing the line", 0.05)
    tokens = _given(order, song, parent, ranges, codec)
    line = generate(
        band.prior,
        song.codes,
        settings,
        Wishes(
            harmony=options.harmony(),
            lowest=options.lowest,
            highest=options.highest,
            tone=TONES.index(options.tone),
            fixed=tokens,
        ),
        SongEvidence(
            grid=song.facts.grid,
            chords=None if options.chords else song.facts.recognised,
            own_bass=None if options.chords else song.own_bass,
            end=song.facts.end,
        ),
        listening(
            codec,
            song.backing.shape[-1],
            lambda: progress("listening to what was played", 0.7),
        ),
    )
    progress("giving it its sound", 0.85)
    made = render_line(
        line,
        song.backing,
        codec.sample_rate,
        song.facts.gain,
        band.sound(options.sound),
        band.prior.balance,
    )
    rates = (codec.sample_rate, song.facts.sample_rate)
    bass, _ = unclipped(resample_to(whole(made.sound), *rates, song.facts.samples))
    notes = line.played if order.notes is None else order.notes
    if parent is not None:
        bass = spliced_sound(parent.bass, bass, ranges, song.facts.sample_rate)
        if order.notes is None:
            notes = spliced_notes(parent.facts.notes, notes, ranges)
    progress("writing the files", 0.95)
    with new_take(order.session, order.number) as folder:
        write_wav(folder / BASS_FILE, bass, song.facts.sample_rate, WORD_SIZE)
        tokens = np.concatenate((line.notes[None], line.codes)).astype(np.int64)
        np.savez(folder / CODES_FILE, tokens=tokens)
        TakeFacts(
            number=order.number,
            parent=order.parent,
            ranges=ranges,
            edited=order.notes is not None,
            options=options,
            notes=tuple(notes),
            chords=line.chords,
            key=key_of_chords(line.chords),
            fit=None if order.notes is not None else line.fits[0],
            right_share=None if line.checked is None else line.checked.right_share,
            level=made.level,
            seconds=time.monotonic() - started,
        ).save(folder)


def _load(order: MakeTake, number: int) -> _Take:
    folder = take_folder(order.session, number)
    with np.load(folder / CODES_FILE, allow_pickle=False) as stored:
        tokens = stored["tokens"]
    return _Take(TakeFacts.load(folder), tokens, read_audio(folder / BASS_FILE).samples)


def _ranges(
    order: MakeTake, song: OpenedSong, parent: _Take | None, frame_rate: float
) -> tuple[TimeRange, ...]:
    """Return what is written anew of the parent: what was marked, and bars whose notes changed."""
    if parent is None:
        return ()
    changed: list[TimeRange] = []
    if order.notes is not None:
        changed = changed_bars(
            parent.facts.notes, order.notes, song.facts.bars, song.codes.shape[2], frame_rate
        )
    ranges = joined([*order.ranges, *changed])
    require(bool(ranges), "nothing was marked and no note was changed: mark bars or edit notes")
    return ranges


def _given(
    order: MakeTake,
    song: OpenedSong,
    parent: _Take | None,
    ranges: Sequence[TimeRange],
    codec: Codec,
) -> Tokens:
    """Return the note tokens and codes `[1 + H, T]` that the take must keep."""
    frames = song.codes.shape[2]
    if parent is None:
        tokens = np.full((1 + codec.num_codebooks, frames), FREE, np.int64)
    else:
        tokens = freed(parent.tokens, ranges, codec.frame_rate)
    if order.notes is not None:
        tokens[0] = notes_to_tokens(order.notes, frames, codec.frame_rate)
    return tokens
