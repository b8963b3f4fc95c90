"""The process that computes: it loads the models once, and does one order after the other."""

import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from shared.errors import UserError
from stage2_prior.studio.orders import Failed, Finished, OpenSong, Order, Progress, Report

if TYPE_CHECKING:  # torch takes seconds to import, and the server, which starts this, needs none
    from stage2_prior.studio.band import Band

LoadBand = Callable[[], "Band"]
DEFECT = "something went wrong in the program; the terminal in which it runs says what"


def work(pipe: Connection, load: LoadBand) -> None:
    """Load the models, and do what comes through the pipe until it is closed.

    Each order is answered by any number of `Progress`, and then by `Finished` or `Failed`.

    Args:
        pipe: where orders come from and answers go to.
        load: loads the models, as a `Band`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this
    band, problem = _loaded(load)
    while True:
        try:
            order = pipe.recv()
        except EOFError:
            return
        pipe.send(Failed(problem) if band is None else _done(order, band, pipe))


def _loaded(load: LoadBand) -> tuple["Band | None", str]:
    """Return the models; or why they cannot be loaded, which is also said in the terminal."""
    try:
        return load(), ""
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return None, "the models cannot be loaded; the terminal in which the page runs says why"
    except Exception:
        traceback.print_exc()
        return None, DEFECT


def _done(order: Order, band: "Band", pipe: Connection) -> Report:
    from stage2_prior.studio.opening import open_song
    from stage2_prior.studio.takes import make_take

    def progress(step: str, done: float) -> None:
        pipe.send(Progress(step, done))

    try:
        if isinstance(order, OpenSong):
            open_song(order, band, progress)
        else:
            make_take(order, band, progress)
    except UserError as error:
        return Failed(str(error).replace(str(order.session), "the session"))
    except Exception:
        traceback.print_exc()
        return Failed(DEFECT)
    return Finished()
