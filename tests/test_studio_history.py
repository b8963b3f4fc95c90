"""The values that a page sends, the history of a session, and the splicing of lines."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.errors import UserError
from shared.music.notes import Note
from shared.times import TimeRange
from stage2_prior.studio import json_values
from stage2_prior.studio.history import LONGEST_HISTORY, History, State
from stage2_prior.studio.jobs import ENDED_EARLY, WorkerProcess
from stage2_prior.studio.orders import Failed, MakeTake, Report
from stage2_prior.studio.sessions import tidy_name
from stage2_prior.studio.splicing import changed_bars, spliced_notes, spliced_sound

RATE = 1000


def test_ranges_that_touch_or_overlap_are_joined() -> None:
    given = [[4, 6], [0, 1], [1, 2], [5, 7]]
    assert json_values.ranges(given, 8.0) == (TimeRange(0, 2), TimeRange(4, 7))


@pytest.mark.parametrize("value", [None, True, "1", float("nan"), float("inf"), -1, 11, [1]])
def test_what_is_no_number_within_the_limits_is_refused(value: Any) -> None:
    with pytest.raises(UserError, match="the width must be a number from 0 to 10"):
        json_values.number(value, "width", 0, 10)


@pytest.mark.parametrize("value", [None, [[1, 2]], [[1, 2, 40]], "1234", [[0, 0, 40, 90]]])
def test_what_is_no_note_is_refused(value: Any) -> None:
    with pytest.raises(UserError):
        json_values.notes(value, 8.0)


def test_a_state_is_read_as_it_was_written() -> None:
    state = State(
        (1, 3), 3, -2.5, draft=(Note(0.5, 1.0, 40, 90),), marked=(TimeRange(0, 2), TimeRange(4, 6))
    )
    assert State.read(state.as_json(), {1, 2, 3}, 8.0) == state


def test_a_history_ends_where_it_is_cut_and_forgets_what_was_undone() -> None:
    history = History()
    for level in range(LONGEST_HISTORY + 5):
        history = history.after(f"level {level}", State(level=level / 100))
    assert len(history.moments) == LONGEST_HISTORY
    history = history.undo().undo()
    assert (history.undoable, history.redoable) == ("level 102", "level 103")
    assert History.of_json(history.as_json()) == history
    history = history.after("other", State())
    assert (history.undoable, history.redoable) == ("other", None)
    assert history.undo().undoable == "level 102"


def test_old_sound_stays_outside_and_new_sound_is_faded_in_inside() -> None:
    old, new = np.full((2, 100), 0.25, np.float32), np.full((2, 100), 0.5, np.float32)
    ranges = (TimeRange(0, 0.03), TimeRange(0.05, 0.09))
    mixed = spliced_sound(old, new, ranges, RATE)
    inside = np.zeros(100, np.bool_)
    inside[0:30] = inside[50:90] = True
    assert (mixed[:, ~inside] == 0.25).all()
    assert (mixed[:, 0:20] == 0.5).all()  # nothing is faded at the beginning of the song
    assert (mixed[:, 60:80] == 0.5).all()
    edges = np.r_[mixed[0, 49:61], mixed[0, 79:91][::-1]].reshape(2, -1)
    np.testing.assert_allclose(edges[0], edges[1], atol=1e-6)
    assert (np.diff(edges[0]) > 0).sum() == 11


def test_notes_that_cross_an_edge_end_or_begin_there() -> None:
    old = [Note(0, 3, 30), Note(3, 2, 31), Note(5, 1, 32)]
    new = [Note(1.5, 1, 40), Note(2, 3, 41), Note(3.5, 1, 42), Note(4, 1, 43)]
    assert spliced_notes(old, new, [TimeRange(2, 4)]) == (
        Note(0, 2, 30),
        Note(2, 2, 41),
        Note(3.5, 0.5, 42),
        Note(4, 1, 31),
        Note(5, 1, 32),
    )


def test_a_bar_has_changed_where_a_frame_of_it_has() -> None:
    bars = [TimeRange(0, 2), TimeRange(2, 4), TimeRange(4, 6)]
    old = [Note(0, 1, 30), Note(3, 2, 31)]
    assert changed_bars(old, old, bars, 60, 10) == []
    assert changed_bars(old, [Note(0, 1, 33), old[1]], bars, 60, 10) == bars[:1]
    assert changed_bars(old, [old[0], Note(3, 2, 33)], bars, 60, 10) == bars[1:]
    assert changed_bars(old, [old[0], Note(3, 1.5, 31)], bars, 60, 10) == bars[2:]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a b.v2.wav", "a b.v2"),
        ("x.stem.mp4", "x"),
        ("C:\\music\\../song.mp3", "song"),
        ("../../etc/passwd", "passwd"),
        ("", "song"),
        ("...", "song"),
        ("Ünï \n$x.flac", "Ünï $x"),
        ("a" * 300 + ".wav", "a" * 80),
    ],
)
def test_names_are_made_fit_for_files(file: str, name: str) -> None:
    assert tidy_name(file) == name


def unloadable() -> Any:
    raise UserError("there is no prior")


def test_a_worker_without_models_says_so_and_one_that_ends_is_started_anew() -> None:
    """The process itself: it answers, it is ended in the middle, and it answers again."""

    async def ask() -> None:
        worker = WorkerProcess(unloadable)
        order = MakeTake(Path("nowhere"), 1)
        answers = [report async for report in worker.reports(order)]
        assert isinstance(answers[-1], Failed)
        assert "models cannot be loaded" in answers[-1].problem
        waiting: asyncio.Future[Report] = asyncio.ensure_future(anext(worker.reports(order)))
        worker.stop()
        assert await waiting in (answers[-1], ENDED_EARLY)
        assert isinstance([report async for report in worker.reports(order)][-1], Failed)
        worker.stop()

    asyncio.run(ask())
