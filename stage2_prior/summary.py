"""What `generate-bass` says in the terminal about a song and its new bass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from shared.music.bar_grid import BarGrid
from shared.music.chord import Chord
from shared.music.lead_sheet import lead_sheet
from shared.music.notes import Note
from shared.music.pitch_names import pitch_name
from stage2_prior.bass_search import BassSearch
from stage2_prior.performance import Checked

BARS_A_LINE = 4
CLEAR = 1.5  # a share of so many times the threshold, or of its inverse, leaves no doubt


@dataclass(frozen=True)
class Summary:
    """What is known of a song and of its new bass.

    Attributes:
        notes: the notes of the new bass.
        silent: whether the song is silent.
        grid: the beats and bars of the song; None where they are not known.
        key: a tonic and a mode, such as `G# minor`; None where it is not known.
        chords: the chords of the song, in order.
        placement: where the chords of the user are; None where he gives none.
        search: what was found when a bass was looked for in the song; None if it was not.
        bass_removed: whether a bass was taken out of the song.
        level: the level of the new bass in dB relative to the song; None where one is silent.
        checked: how well its sound agrees with its notes; None where nobody listened.
        fits: how well each candidate fits what is heard in the song, in nats, the best first.
        rank: the place of the line among them; 0 is the best.
        loudness: by BS.1770 in LUFS, of the song, the bass, the backing and the mix; None for what
            has none.
        written: the form in which the sounds are written.
        peaks: what was done about samples beyond full scale.
    """

    notes: Sequence[Note]
    silent: bool = False
    grid: BarGrid | None = None
    key: str | None = None
    chords: Sequence[Chord] = ()
    placement: str | None = None
    search: BassSearch | None = None
    bass_removed: bool = False
    level: float | None = None
    checked: Checked | None = None
    fits: Sequence[float] = ()
    rank: int = 0
    loudness: Mapping[str, float | None] = field(default_factory=dict)
    written: str | None = None
    peaks: str | None = None

    @property
    def rows(self) -> dict[str, str]:
        """What is said of each subject, in order. The chords may take several lines."""
        if self.silent:
            return {"song": "it is silent, and so is its bass"}
        rows = {}
        if self.grid is not None:
            rows["tempo"] = f"{self.grid.tempo:.1f} beats per minute"
            rows["meter"] = "{}/{}".format(*self.grid.meter)
        if self.key is not None:
            rows["key"] = self.key
        if self.grid is not None and self.chords:
            rows["chords"] = _chord_lines(self.chords, self.grid)
        if self.placement is not None:
            rows["placement"] = self.placement
        rows["own bass"] = _own_bass(self.search, self.bass_removed)
        rows["new bass"] = _new_bass(self.notes)
        if len(self.fits) > 1:
            rows["chosen"] = (
                f"number {self.rank + 1} of {len(self.fits)} lines: it fits the song by "
                f"{self.fits[self.rank]:.2f} nats, and all by {self.fits[0]:.2f} to "
                f"{self.fits[-1]:.2f}"
            )
        if self.checked is not None and self.notes:
            rows["played"] = _played(self.checked)
        if self.level is not None:
            side = "above" if self.level > 0 else "below"
            rows["level"] = f"{abs(self.level):.1f} dB {side} the song"
        known = {name: value for name, value in self.loudness.items() if value is not None}
        loudness = [f"{name} {value:.1f}" for name, value in known.items()]
        if loudness:
            rows["loudness"] = f"{', '.join(loudness)} LUFS"
        if self.peaks is not None:
            rows["peaks"] = self.peaks
        if self.written is not None:
            rows["written"] = self.written
        return rows


def _chord_lines(chords: Sequence[Chord], grid: BarGrid) -> str:
    """Write the lead sheet. Lines that repeat are written once, with their number."""
    lines = lead_sheet(chords, grid, BARS_A_LINE).splitlines()
    counted = [(line, len(list(same))) for line, same in groupby(lines)]
    return "\n".join(line if count == 1 else f"{line}  x{count}" for line, count in counted)


def _own_bass(search: BassSearch | None, removed: bool) -> str:
    """Say whether the song has a bass, how sure that is, and what was done with it."""
    done = "removed" if removed else "left as it is"
    if search is None:
        return f"not looked for; the song is {done}"
    share = search.share / search.threshold
    surely = "clearly" if share >= CLEAR or share <= 1 / CLEAR else "but only just"
    measured = f"share {search.share:.2f}, from {search.threshold:.2f} on it counts"
    if search.found:
        return f"found, {surely} ({measured}), and {done}"
    rest = "; what there was is removed" if removed else ""
    return f"not found, {surely} ({measured}){rest}"


def _new_bass(notes: Sequence[Note]) -> str:
    if not notes:
        return "no notes"
    pitches = [note.pitch for note in notes]
    lowest, highest = pitch_name(min(pitches)), pitch_name(max(pitches))
    if len(notes) == 1:
        return f"1 note, {lowest}"
    return f"{len(notes)} notes, {lowest}-{highest}"


def _played(checked: Checked) -> str:
    """Say how much of the line sounds as it is written, and what was played again for that."""
    text = f"{checked.right_share:.0%} of the time of its notes sounds as written"
    if checked.repeats:
        times = "once" if checked.repeats == 1 else f"{checked.repeats} times"
        text += f"; of {checked.phrases} phrases, some were played again, {times} in all"
    return text
