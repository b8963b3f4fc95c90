"""The server of the page: it stores what users send, and hands the work to the queue of jobs."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from shared.atomic import full_disk_said
from shared.errors import UserError, require
from shared.music.notes import NoteVocabulary
from stage2_prior.performer.tone import TONES
from stage2_prior.studio.downloads import ZIP, Download
from stage2_prior.studio.history import LEVELS_DB
from stage2_prior.studio.jobs import Job, Jobs, ended
from stage2_prior.studio.json_values import choice, number, parse_object, ranges, text, whole_number
from stage2_prior.studio.json_values import notes as read_notes
from stage2_prior.studio.options import BOLDNESS, OWN_BASS, SOUNDS, TakeOptions
from stage2_prior.studio.orders import MakeTake, OpenSong
from stage2_prior.studio.security import Guard
from stage2_prior.studio.sessions import Session, Store, User
from stage2_prior.studio.song_facts import BACKING_FILE, ORIGINAL_FILE
from stage2_prior.studio.take_files import BASS_FILE, take_folder, take_numbers
from stage2_prior.studio.worker import DEFECT

PAGE = Path(__file__).parent / "static"
COOKIE = "bassprior_user"
COOKIE_SECONDS = 365 * 24 * 3600
LARGEST_JSON = 4_000_000  # bytes
GRACE_SECONDS = 1.0  # in which what is being sent ends by itself when the server ends
UNCHANGING = {"Cache-Control": "private, max-age=31536000, immutable"}


@dataclass(frozen=True)
class Limits:
    """What a user may send.

    Attributes:
        megabytes: the largest file.
        minutes: the longest song.
    """

    megabytes: float = 200.0
    minutes: float = 10.0


class Studio:
    """What the page can ask for."""

    def __init__(self, store: Store, jobs: Jobs, limits: Limits) -> None:
        """Take where sessions are stored, who does the work, and what is too much."""
        self._store, self._jobs, self._limits = store, jobs, limits

    def application(self) -> Starlette:
        """Return the application that a server runs."""
        one, take = "/api/sessions/{session}", "/api/sessions/{session}/takes/{take:int}"
        routes = [
            Route("/", _page),
            Mount("/static", StaticFiles(directory=PAGE)),
            Route("/api/me", self.welcome, methods=["POST"]),
            Route("/api/jobs", self.jobs),
            Route("/api/jobs/{job}", self.cancel, methods=["DELETE"]),
            Route("/api/sessions", self.upload, methods=["POST"]),
            Route(one, self.session),
            Route(one, self.remove, methods=["DELETE"]),
            Route(f"{one}/state", self.act, methods=["PUT"]),
            Route(f"{one}/undo", self.undo, methods=["POST"]),
            Route(f"{one}/redo", self.redo, methods=["POST"]),
            Route(f"{one}/takes", self.make_take, methods=["POST"]),
            Route(f"{one}/original", self.original),
            Route(f"{one}/backing", self.backing),
            Route(f"{take}/bass", self.bass),
            Route(f"{take}/loudness", self.loudness),
            Route(f"{take}/download/{{kind}}", self.download),
        ]
        handlers: Mapping[Any, Any] = {
            UserError: self._say_problem,
            ClientDisconnect: _say_nothing,
            Exception: _say_defect,
        }
        return Starlette(
            routes=routes,
            middleware=[Middleware(Guard)],
            exception_handlers=handlers,
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(self._jobs.run())
        yield
        await ended(running)
        self._jobs.stop()

    async def welcome(self, request: Request) -> Response:
        """Know the user again, or make a new one; return what the page needs to begin."""
        user = self._store.find_user(request.cookies.get(COOKIE)) or self._store.new_user()
        answer = JSONResponse(
            {
                "sessions": [{"id": each.name, "name": each.song} for each in user.sessions()],
                "limits": asdict(self._limits),
                "tones": TONES,
                "sounds": list(SOUNDS),
                "boldness": BOLDNESS,
                "levels": LEVELS_DB,
                "pitches": [NoteVocabulary.LOW, NoteVocabulary.HIGH],
                "options": asdict(TakeOptions()),
            }
        )
        answer.set_cookie(
            COOKIE, user.name, max_age=COOKIE_SECONDS, httponly=True, samesite="strict"
        )
        return answer

    async def jobs(self, request: Request) -> Response:
        """Send the jobs of the user, and again whenever something about them changes."""
        user = self._user(request)

        stopping = anyio.Event()

        async def stop() -> None:
            await stopping.wait()
            self._jobs.end_watching()

        async def events() -> AsyncIterator[dict[str, str]]:
            stopper = asyncio.create_task(stop())
            try:
                async for jobs in self._jobs.watch(user.name):
                    yield {"data": json.dumps(jobs)}
            finally:
                stopper.cancel()

        return EventSourceResponse(
            events(), shutdown_event=stopping, shutdown_grace_period=GRACE_SECONDS
        )

    async def cancel(self, request: Request) -> Response:
        """End a job."""
        self._jobs.cancel(self._user(request).name, request.path_params["job"])
        return JSONResponse({})

    async def upload(self, request: Request) -> Response:
        """Store a song, and have it opened and a first take made."""
        user = self._user(request)
        file = text(request.query_params.get("name", ""), "name of the file")
        wanted = choice(request.query_params.get("bass", "auto"), "bass", tuple(OWN_BASS))
        session = user.new_session(file)
        try:
            path = session.folder / f"upload{_ending(file)}"
            with full_disk_said(Path("the folder of the page")):
                await self._store_body(request, path)
            longest, own_bass = 60 * self._limits.minutes, OWN_BASS[wanted]
            order = OpenSong(session.folder, path, Path(file).name, longest, own_bass)

            def opened() -> None:
                self._make(user, session, MakeTake(session.folder, session.next_take()), "new line")

            name, label = session.name, "opening the song"
            self._jobs.add(Job(user.name, name, label, order, opened, session.remove))
        except BaseException:
            session.remove()
            raise
        return JSONResponse({"id": session.name, "name": session.song})

    async def session(self, request: Request) -> Response:
        """Return all that the page shows of a session."""
        return JSONResponse(self._session(request).for_page())

    async def remove(self, request: Request) -> Response:
        """Delete a session."""
        session = self._session(request)
        self._jobs.cancel_session(self._user(request).name, session.name)
        session.remove()
        return JSONResponse({})

    async def act(self, request: Request) -> Response:
        """Store an action of the user, with the fields of the state that it changes."""
        session = self._session(request)
        body = await _json(request)
        require(isinstance(body.get("changes"), dict), "the page sent no changes: reload it")
        session.act(text(body.get("action"), "action"), session.changed(body["changes"]))
        return JSONResponse(session.for_page())

    async def undo(self, request: Request) -> Response:
        """Take back the last action."""
        session = self._session(request)
        session.change(session.history.undo())
        return JSONResponse(session.for_page())

    async def redo(self, request: Request) -> Response:
        """Repeat what was taken back."""
        session = self._session(request)
        session.change(session.history.redo())
        return JSONResponse(session.for_page())

    async def make_take(self, request: Request) -> Response:
        """Have a take made: a new line, marked bars written anew, or edited notes performed."""
        session = self._session(request)
        body = await _json(request)
        state, seconds = session.state, session.facts.seconds
        parent, given = body.get("parent"), body.get("notes")
        if parent is not None:
            parent = session.take(whole_number(parent, "take", 0, 1_000_000)).number
        marked = ranges(body.get("ranges", []), seconds)
        edited = None if given is None else read_notes(given, seconds)
        new = not marked and edited is None
        require(parent is not None or new, "choose a take first: only of a take are bars redone")
        order = MakeTake(session.folder, session.next_take(), parent, marked, edited, state.options)
        label = "new line" if parent is None else "marked bars" if given is None else "edited notes"
        self._make(self._user(request), session, order, label)
        return JSONResponse({"take": order.number})

    async def original(self, request: Request) -> Response:
        """Send the song."""
        return FileResponse(self._session(request).folder / ORIGINAL_FILE, headers=UNCHANGING)

    async def backing(self, request: Request) -> Response:
        """Send the song without its bass."""
        return FileResponse(self._session(request).folder / BACKING_FILE, headers=UNCHANGING)

    async def bass(self, request: Request) -> Response:
        """Send the bass of a take."""
        session, take = self._session(request), request.path_params["take"]
        require(take in take_numbers(session.folder), f"there is no take {take}")
        return FileResponse(take_folder(session.folder, take) / BASS_FILE, headers=UNCHANGING)

    async def loudness(self, request: Request) -> Response:
        """Return the loudness of the song and of the mix, in LUFS."""
        download = self._download(request)
        return JSONResponse(
            {
                "original": download.song.loudness,
                "mix": await run_in_threadpool(download.loudness),
            }
        )

    async def download(self, request: Request) -> Response:
        """Send a file of a take, or all of them as a zip."""
        download, kind = self._download(request), request.path_params["kind"]
        require(kind in (*download.kinds, ZIP), "there is no such file")
        folder = Path(tempfile.mkdtemp())
        try:
            path = await run_in_threadpool(download.write, kind, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        done = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
        return FileResponse(path, filename=path.name, background=done)

    def _make(self, user: User, session: Session, order: MakeTake, label: str) -> None:
        """Put a take into the queue; when it is done, show it."""
        performs = order.notes is not None

        def made() -> None:
            session.act(label, session.state.with_take(order.number, performs))

        self._jobs.add(Job(user.name, session.name, label, order, made))

    async def _say_problem(self, request: Request, error: Exception) -> Response:
        return JSONResponse({"error": self._store.without_paths(str(error))}, 400)

    def _user(self, request: Request) -> User:
        user = self._store.find_user(request.cookies.get(COOKIE))
        if user is None:
            raise UserError("the page does not know you: reload it, and allow its cookie")
        return user

    def _session(self, request: Request) -> Session:
        return self._user(request).find_session(request.path_params["session"])

    def _download(self, request: Request) -> Download:
        given = request.query_params.get("level", "0")
        try:
            level = number(float(given), "level", *LEVELS_DB)
        except ValueError as error:
            raise UserError("the level must be a number") from error
        return Download(self._session(request), request.path_params["take"], level)

    async def _store_body(self, request: Request, path: Path) -> None:
        """Write what is uploaded into a file.

        Raises:
            UserError: it is empty or too large.
        """
        most = self._limits.megabytes * 1e6
        too_large = f"the file is larger than {self._limits.megabytes:g} MB: give a smaller one"
        stated = request.headers.get("content-length", "0")
        require(not stated.isdecimal() or int(stated) <= most, too_large)
        size = 0
        with path.open("wb") as file:
            async for part in request.stream():
                size += len(part)
                require(size <= most, too_large)
                file.write(part)
        require(size > 0, "the file is empty: choose another one")


async def _page(request: Request) -> Response:
    return FileResponse(PAGE / "index.html")


async def _json(request: Request) -> Mapping[str, Any]:
    body = b""
    async for part in request.stream():
        body += part
        require(len(body) <= LARGEST_JSON, "the page sent too much at once: reload it")
    return parse_object(body)


def _ending(file: str) -> str:
    """Return the ending of a file's name if it is a usual one, because readers look at it."""
    ending = Path(file).suffix.lower()
    return ending if ending[1:].isalnum() and ending.isascii() and len(ending) <= 6 else ""


async def _say_nothing(request: Request, error: Exception) -> Response:
    return Response(status_code=400)


async def _say_defect(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": DEFECT}, 500)
