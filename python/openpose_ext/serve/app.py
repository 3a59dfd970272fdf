"""The addresses of the server.

    POST /api/people?name=FILE      the body is a picture or a video; lines of JSON come back, see
         [&OPTION=VALUE...]         `lines`. Options are those of `options.Options`: body, hand,
         [&pictures=1]              face, foot, refine, height, identification, smooth, ...
         [&plain=1]                 pictures=1: lines have the drawn frame, reduced
         [&visitor=ID]              plain=1: the results have a picture or video without skeletons
    POST /api/frame                 the body is one picture, such as a webcam's newest frame; its
         [?OPTION=VALUE...]         people come back, {"frame":{...},"seconds":0.05}. Nothing is
         [&visitor=ID]              kept, except people's places for a few seconds, for ids and
                                    smoothing. Only a visitor's newest frame is processed: older
                                    ones that still wait get 409
    GET  /api/options               the allowed options: {"networks":{"body":["lite",...],...},
                                    "defaults":{...},"ranges":{"height":[64,1024],...},
                                    "limits":{"upload":BYTES,"pixels":N,"frame":BYTES,"keep":SECONDS,
                                    "each":UPLOADS AT ONCE},"topologies":{"coco_18":{"parts":[...],
                                    "limbs":[[a,b],...],"colours":[[r,g,b],...]},...},
                                    "token":whether one is needed,"version":"..."}
    GET  /api/people?visitor=ID     all uploads of a visitor that are still here, newest first:
                                    {"uploads":[{"key":KEY,"name":...,"options":{...},
                                    "left":SECONDS, and the newest line},...]}
    GET  /api/people/KEY            the lines of an upload from now on, or the last line of one that
         [?pictures=1]              is finished. Each line has its key
    DELETE /api/people/KEY          cancel an upload, or remove its results
    GET  /api/people/KEY/KIND       a result: images, video, plain, json, jsonl, csv, or zip, which
                                    has all of them. jsonl has all frames, with scores and ids
    GET  /api/sample                a picture to try, in the public domain
    GET  /api/health                200, or 503 if no upload can be accepted, for programs that
                                    restart servers; needs no token
    GET  /                          the page

ID is a random text that the page makes up, 16 to 64 letters, digits, - and _. With it, uploads can
be found again, and they go on when the connection breaks. Without it, disconnecting cancels an
upload that is waiting or being processed.

A refused request gets a status and `{"error": "a sentence"}`: 400 for an unknown option, 401
without the server's token (`Authorization: Bearer TOKEN`, or the cookie that the address with
`?token=TOKEN` sets), 403, 404, 408 for an upload that is too slow, 409, 413 for one that is too
large, 415 if it is no picture or video, 429 for too many at once from one address, 503 with
`Retry-After` while the server is full or shutting down, 507 if the disk is full, and 500 for an
error in the server.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from time import perf_counter

import anyio
from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from openpose_ext import __version__
from openpose_ext.cli.values import FALSE
from openpose_ext.errors import SourceError
from openpose_ext.outputs.json_lines import as_line
from openpose_ext.serve.budget import GivenUpError
from openpose_ext.serve.cost import Header
from openpose_ext.serve.guard import Guard
from openpose_ext.serve.jobs import Asked, FullError, Job, Jobs
from openpose_ext.serve.lines import MEDIA_TYPE, told
from openpose_ext.serve.options import Offer, Options
from openpose_ext.serve.token import Token
from openpose_ext.serve.upload import checked, measured, received, too_much_memory
from openpose_ext.serve.webcam import OvertakenError
from openpose_ext.serve.zipped import zipped
from openpose_ext.types.topology import BODY_25, COCO_18, FACE_70, HAND_21

__all__ = ["page_routes", "refuse", "uploads_app"]

_SWEEPS = 30.0  # old results are removed at least every so many seconds
_AT_ONCE = 32  # most checks, and most webcam frames, at a time; most of them wait for memory
_VISITOR = re.compile(r"[A-Za-z0-9_-]{16,64}")
_PAGE = files("openpose_ext.serve") / "page"
_MEDIA = {"html": "text/html", "js": "text/javascript", "css": "text/css"}


def uploads_app(
    jobs: Jobs,
    offer: Offer,
    names: tuple[str, ...] = (),
    *,
    token: str | None = None,
    port: int = 0,
) -> Starlette:
    """The app of `serve`.

    offer        the options that visitors may choose
    names        names of this server, see `Guard`
    token, port  see `Token`
    """
    api = _Api(jobs, offer, needs_token=token is not None)
    return Starlette(
        routes=[
            *page_routes("index.html"),
            Route("/api/options", api.options),
            Route("/api/health", api.health),
            Route("/api/sample", api.sample),
            Route("/api/frame", api.frame, methods=["POST"]),
            Route("/api/people", api.look, methods=["POST"]),
            Route("/api/people", api.list),
            Route("/api/people/{key}", api.follow),
            Route("/api/people/{key}", api.delete, methods=["DELETE"]),
            Route("/api/people/{key}/{kind}", api.result),
        ],
        middleware=[
            Middleware(Guard, names=names),
            Middleware(Token, token=token, port=port),
        ],
        exception_handlers={HTTPException: refuse, Exception: _failed},
        lifespan=api.lifespan,
    )


def page_routes(index: str) -> list[Route]:
    """The routes of a page: `index` is at the root, scripts and styles beside it."""
    loaded = (file.name for file in _PAGE.iterdir() if file.name.endswith((".js", ".css")))
    return [
        Route(path, partial(_page_file, name=name))
        for path, name in (("/", index), *((f"/{name}", name) for name in loaded))
    ]


async def refuse(request: Request, error: Exception) -> Response:
    """The answer for an error, as JSON."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    sentence = "Something went wrong in this server; its terminal says what."
    return JSONResponse({"error": sentence}, HTTPStatus.INTERNAL_SERVER_ERROR)


class _Api:
    def __init__(self, jobs: Jobs, offer: Offer, *, needs_token: bool) -> None:
        self._jobs = jobs
        self._offer = offer
        self._needs_token = needs_token
        # Requests that wait here need no memory; threads that wait for memory need hardly any.
        self._checking = anyio.CapacityLimiter(_AT_ONCE)
        self._frames = 0

    async def options(self, request: Request) -> Response:
        limits = self._jobs.limits
        return JSONResponse(
            self._offer.told()
            | {
                "limits": {
                    "upload": limits.upload,
                    "pixels": limits.pixels,
                    "frame": limits.frame,
                    "keep": limits.keep,
                    "each": limits.each,
                },
                "topologies": {
                    one.name: {"parts": one.parts, "limbs": one.limbs, "colours": one.colours}
                    for one in (COCO_18, BODY_25, HAND_21, FACE_70)
                },
                "token": self._needs_token,
                "version": __version__,
            }
        )

    async def health(self, request: Request) -> Response:
        problem = await to_thread.run_sync(self._jobs.problem)
        told = {"status": "ok"} if problem is None else {"status": "failing", "error": problem}
        status = HTTPStatus.OK if problem is None else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse(told | self._jobs.count(), status)

    async def sample(self, request: Request) -> Response:
        return Response((_PAGE / "sample.jpg").read_bytes(), media_type="image/jpeg")

    async def look(self, request: Request) -> Response:
        asked = Asked(
            request.query_params.get("name", ""),
            self._chosen(request, "name", "pictures", "plain", "visitor"),
            plain=_flag(request, "plain"),
            visitor=_visitor(request),
            address=_address(request),
        )
        jobs = self._jobs
        try:
            job = jobs.add(asked)
        except FullError as error:
            raise _full(error) from error
        try:
            await received(request, job.file, jobs.limits)
            header = await self._checked(job)
            jobs.start(job, header)
        except (ClientDisconnect, GivenUpError):
            jobs.remove(job)
            return Response(status_code=HTTPStatus.BAD_REQUEST)  # the client has left
        except FullError as error:
            jobs.remove(job)
            raise _full(error) from error
        except BaseException:
            jobs.remove(job)
            raise
        return _Lines(jobs, job, pictures=_flag(request, "pictures"))

    async def frame(self, request: Request) -> Response:
        options = self._chosen(request, "visitor")
        visitor = _visitor(request)
        limits = replace(self._jobs.limits, upload=self._jobs.limits.frame)
        if self._jobs.ending or self._frames >= _AT_ONCE:
            raise _full(FullError("Too many frames come at once; try again."))
        number = self._jobs.webcams.came(visitor)
        begun = perf_counter()
        self._frames += 1
        try:
            with tempfile.TemporaryDirectory(dir=self._jobs.root) as folder:
                file = Path(folder) / "frame"
                await received(request, file, limits)
                look = partial(self._people_in, file, options, visitor, number)
                people = await to_thread.run_sync(look, limiter=self._checking)
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        finally:
            self._frames -= 1
        return JSONResponse({"frame": people, "seconds": round(perf_counter() - begun, 4)})

    async def list(self, request: Request) -> Response:
        visitor = _visitor(request)
        if not visitor:
            raise HTTPException(HTTPStatus.BAD_REQUEST, "Say whose uploads: ?visitor=ID.")
        uploads = [
            {
                "name": job.asked.name,
                "options": asdict(job.asked.options),
                "left": round(self._jobs.kept.left(job.key) or self._jobs.limits.keep),
                **job.progress.told(pictures=False),
            }
            for job in self._jobs.of(visitor)
        ]
        return JSONResponse({"uploads": uploads})

    async def follow(self, request: Request) -> Response:
        job = self._found(request)
        lines = told(job.latest, pictures=_flag(request, "pictures"))
        return StreamingResponse(lines, media_type=MEDIA_TYPE)

    async def delete(self, request: Request) -> Response:
        job = self._found(request)
        await to_thread.run_sync(self._jobs.delete, job)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def result(self, request: Request) -> Response:
        key, kind = request.path_params["key"], request.path_params["kind"]
        results = self._jobs.kept.files(key)
        if kind == "zip" and results:
            job = self._found(request)
            stem = Path(job.asked.name).stem.encode("ascii", "replace").decode().replace('"', "")
            headers = {"Content-Disposition": f'attachment; filename="{stem}.zip"'}
            return StreamingResponse(
                zipped(results.values()), media_type="application/zip", headers=headers
            )
        if kind not in results:
            raise self._missing()
        path, name = results[kind]
        return FileResponse(path, filename=name)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(self._sweep())
        yield
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping

    def _chosen(self, request: Request, *others: str) -> Options:
        try:
            return self._offer.chosen(request.query_params.multi_items(), others)
        except ValueError as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"{error}.") from error

    async def _checked(self, job: Job) -> Header:
        """The header of an upload. Raises HTTPException if it cannot be processed."""

        def check() -> Header:
            jobs = self._jobs
            header = measured(job.file, jobs.limits, jobs.budget, self._is_ending)
            try:
                jobs.plan_of(header, job.asked)
            except ValueError as error:
                raise too_much_memory(int(error.args[0]), jobs.budget.total) from error
            checked(job.file, header, jobs.limits, jobs.budget, self._is_ending)
            return header

        return await to_thread.run_sync(check, limiter=self._checking)

    def _people_in(
        self, file: Path, options: Options, visitor: str, number: int
    ) -> dict[str, object]:
        """The people of a frame, in the form of a line. Raises HTTPException if it is refused."""
        limits, budget = self._jobs.limits, self._jobs.budget
        header = measured(file, limits, budget, self._is_ending)
        if header.kind == "video":
            raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A frame is a picture.")
        header = replace(header, kind="picture")  # take the first frame of an animation
        try:
            found = self._jobs.webcams.people(file, header, options, visitor, number)
        except (OvertakenError, GivenUpError) as error:
            raise HTTPException(HTTPStatus.CONFLICT, "A newer frame has come.") from error
        except SourceError as error:
            raise HTTPException(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "This is not a readable picture."
            ) from error
        except ValueError as error:
            raise too_much_memory(header.pixels * 40, budget.total) from error
        return as_line(*found)

    def _is_ending(self) -> bool:
        return self._jobs.ending

    def _found(self, request: Request) -> Job:
        job = self._jobs.find(request.path_params["key"])
        if job is None:
            raise self._missing()
        return job

    def _missing(self) -> HTTPException:
        return HTTPException(
            HTTPStatus.NOT_FOUND,
            f"There is no such result; results are kept for {self._jobs.limits.keep / 60:g} "
            "minutes.",
        )

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(_SWEEPS, self._jobs.limits.keep))
            await to_thread.run_sync(self._jobs.sweep)


class _Lines(StreamingResponse):
    """The progress of an upload until it is done.

    If the visitor disconnects, an upload without an ID is cancelled.
    """

    def __init__(self, jobs: Jobs, job: Job, *, pictures: bool) -> None:
        super().__init__(told(job.latest, pictures=pictures), media_type=MEDIA_TYPE)
        self._jobs = jobs
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if not self._job.asked.visitor:
                self._jobs.give_up(self._job, "The visitor has left.")


def _full(error: FullError) -> HTTPException:
    if error.yours:
        return HTTPException(HTTPStatus.TOO_MANY_REQUESTS, str(error), {"Retry-After": "10"})
    return HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": "60"})


def _flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "0") not in ("", *FALSE)


def _visitor(request: Request) -> str:
    visitor = request.query_params.get("visitor", "")
    if visitor and not _VISITOR.fullmatch(visitor):
        raise HTTPException(
            HTTPStatus.BAD_REQUEST, "A visitor's ID has 16 to 64 letters, digits, - and _."
        )
    return visitor


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


async def _page_file(request: Request, *, name: str) -> Response:
    return Response((_PAGE / name).read_bytes(), media_type=_MEDIA[name.rpartition(".")[2]])
