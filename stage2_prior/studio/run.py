"""Start the page: all of the command `studio`."""

import socket
import webbrowser
from importlib.util import find_spec
from pathlib import Path

from shared.console import err_console
from shared.errors import UserError, require
from shared.file_lock import sole_owner
from stage2_prior.studio.worker import LoadBand

ADDRESS = "127.0.0.1"
LOCK_NAME = ".lock"  # in the folder of the sessions, while it is served
_PACKAGES = ("starlette", "uvicorn", "sse_starlette", "pyloudnorm")


def run_studio(
    out: Path, load: LoadBand, port: int, megabytes: float, minutes: float, show: bool
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        out: the folder of the sessions.
        load: loads the models in the worker; it must be importable there by its name.
        port: on which the page is served; 0 takes a free one.
        megabytes: the largest file that can be uploaded.
        minutes: the longest song.
        show: whether to open the page in the browser.

    Raises:
        UserError: a package is missing, the port is taken, or the folder cannot be written.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    require(
        not missing,
        f"the page needs the packages {', '.join(missing)}: pip install 'bassprior[studio]'",
    )
    require(megabytes > 0 and minutes > 0, "the largest file and the longest song must be above 0")
    import uvicorn

    from stage2_prior.studio.jobs import Jobs, WorkerProcess
    from stage2_prior.studio.server import Limits, Studio
    from stage2_prior.studio.sessions import Store

    listening = _listen(port)
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {out} ({error.strerror}): choose another --out") from error
    # A second page would remove the songs that this one is opening.
    with sole_owner(out / LOCK_NAME, f"{out} is being served", "choose another --out"):
        studio = Studio(Store(out), Jobs(WorkerProcess(load)), Limits(megabytes, minutes))
        settings = uvicorn.Config(
            studio.application(),
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,  # s; a page that is open keeps a connection open
        )
        address = f"http://{ADDRESS}:{listening.getsockname()[1]}/"
        print(address, flush=True)
        err_console.print(f"The page is at {address} and its data in {out}. Ctrl-C ends it.")
        if show:
            webbrowser.open(address)
        uvicorn.Server(settings).run(sockets=[listening])


def _listen(port: int) -> socket.socket:
    """Return a socket that listens on this machine only."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    require(0 <= port < 2**16, f"there is no port {port}: choose --port from 0 to 65535")
    try:
        listening.bind((ADDRESS, port))
        listening.listen()  # so that a browser that is quicker than the server waits for it
    except OSError as error:
        raise UserError(
            f"port {port} cannot be used ({error.strerror}): choose another --port"
        ) from error
    return listening
