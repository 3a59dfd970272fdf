"""The addresses of the server.

    POST /api/people?name=FILE           the body is a picture or a video; lines of JSON come back
         [&pictures=1]                   (see `lines`), with pictures if requested
    GET  /api/people/KEY/KIND            a result: images, video, json, jsonl or csv
    GET  /api                            accepted files, and the networks in use
    GET  /api/health                     200, or 503 if no upload can be accepted, for programs
                                         that restart servers
    GET  /                               the page

A refused request gets a status and `{"error": "a sentence"}`. A visitor who disconnects while an
upload is waiting or being processed cancels it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from http import HTTPStatus
from importlib.resources import files

import anyio
from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from openpose_ext.serve.guard import Guard
from openpose_ext.serve.jobs import Job, Jobs
from openpose_ext.serve.lines import MEDIA_TYPE, told
from openpose_ext.serve.upload import checked, received

__all__ = ["page_routes", "refuse", "uploads_app"]

_SWEEPS = 30.0  # seconds from one look for outdated results to the next, at most
_PAGE = files("openpose_ext.serve") / "page"
_MEDIA = {"html": "text/html", "js": "text/javascript", "css": "text/css"}


def uploads_app(jobs: Jobs, about: dict[str, object], names: tuple[str, ...] = ()) -> Starlette:
    """The app of `serve`.

    about  public information on the networks
    names  of this server, see `Guard`
    """
    api = _Api(jobs, about)
    return Starlette(
        routes=[
            *page_routes("index.html", "index.js"),
            Route("/api", api.about),
            Route("/api/health", api.health),
            Route("/api/people", api.look, methods=["POST"]),
            Route("/api/people/{key}/{kind}", api.result),
        ],
        middleware=[Middleware(Guard, names=names)],
        exception_handlers={HTTPException: refuse},
        lifespan=api.lifespan,
    )


def page_routes(index: str, *scripts: str) -> list[Route]:
    """The routes of a page: `index` is at the root, what it loads beside it."""
    loaded = ("page.css", "page.js", *scripts)
    return [
        Route(path, partial(_page_file, name=name))
        for path, name in (("/", index), *((f"/{name}", name) for name in loaded))
    ]


async def refuse(request: Request, error: Exception) -> Response:
    """What went wrong, as JSON."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


class _Api:
    def __init__(self, jobs: Jobs, about: dict[str, object]) -> None:
        self._jobs = jobs
        limits = jobs.limits
        self._about = about | {
            "upload": limits.upload,
            "pixels": limits.pixels,
            "keep": limits.keep,
        }
        self._checking = anyio.CapacityLimiter(1)  # a picture may be large

    async def about(self, request: Request) -> Response:
        return JSONResponse(self._about)

    async def health(self, request: Request) -> Response:
        problem = await to_thread.run_sync(self._jobs.problem)
        told = {"status": "ok"} if problem is None else {"status": "failing", "error": problem}
        status = HTTPStatus.OK if problem is None else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse(told | self._jobs.count(), status)

    async def look(self, request: Request) -> Response:
        job = self._jobs.add(request.query_params.get("name", ""))
        if job is None:
            raise HTTPException(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many files are waiting already; try again in a minute.",
                {"Retry-After": "60"},
            )
        try:
            await received(request, job.file, self._jobs.limits)
            look = partial(checked, job.file, self._jobs.limits)
            await to_thread.run_sync(look, limiter=self._checking)
        except ClientDisconnect:
            self._jobs.remove(job)
            return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody reads it
        except BaseException:
            self._jobs.remove(job)
            raise
        self._jobs.start(job)
        pictures = request.query_params.get("pictures", "0") != "0"
        return _Lines(self._jobs, job, pictures=pictures)

    async def result(self, request: Request) -> Response:
        found = self._jobs.kept.file(**request.path_params)
        if found is None:
            raise HTTPException(
                HTTPStatus.NOT_FOUND,
                f"There is no such result; results are kept for {self._jobs.limits.keep / 60:g} "
                "minutes.",
            )
        path, name = found
        return FileResponse(path, filename=name)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(self._sweep())
        yield
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(_SWEEPS, self._jobs.limits.keep))
            await to_thread.run_sync(self._jobs.kept.sweep)


class _Lines(StreamingResponse):
    """The progress of an upload until it is done; the upload is cancelled if the visitor leaves."""

    def __init__(self, jobs: Jobs, job: Job, *, pictures: bool) -> None:
        super().__init__(told(job.latest, pictures=pictures), media_type=MEDIA_TYPE)
        self._give_up = partial(jobs.give_up, job, "The visitor has left.")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._give_up()


async def _page_file(request: Request, *, name: str) -> Response:
    return Response((_PAGE / name).read_bytes(), media_type=_MEDIA[name.rpartition(".")[2]])
