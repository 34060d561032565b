"""The requests of the page that teaches."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar
from zipfile import ZIP_DEFLATED, ZipFile

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from pocketlens.errors import OptionError, OutputError
from pocketlens.preview.api import ModelApi
from pocketlens.preview.decoders import is_cheap
from pocketlens.preview.teaching.folder import Example, new_burst
from pocketlens.preview.teaching.teacher import Teacher

__all__ = ["TeachingApi"]

THUMBNAIL, LARGEST = 160, 1024
"""The side of a thumbnail in pixels, and the largest that is asked for."""

MAX_CHANGED = 10_000
"""The most examples that are moved or deleted at a time."""

BURST = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")

KEPT = {"cache-control": "private, max-age=31536000, immutable"}
"""The file of an example never changes."""

T = TypeVar("T")


class TeachingApi(ModelApi):
    """The routes below `/api`.

    Args:
        teacher: What the page works with.
    """

    def __init__(self, teacher: Teacher) -> None:
        super().__init__(teacher.pool)
        self.teacher = teacher
        self.folder = teacher.folder

    @property
    def routes(self) -> list[Route]:
        """All routes of the API."""
        return [
            Route("/model", self.model),
            Route("/predict", self.predict, methods=["POST"]),
            Route("/explain", self.explain, methods=["POST"]),
            Route("/teaching", self.state),
            Route("/classes", self.add_class, methods=["POST"]),
            Route("/classes", self.rename_class, methods=["PATCH"]),
            Route("/classes", self.remove_class, methods=["DELETE"]),
            Route("/bursts", self.create_burst, methods=["POST"]),
            Route("/examples", self.add_example, methods=["POST"]),
            Route("/examples", self.get_example),
            Route("/examples/move", self.move, methods=["POST"]),
            Route("/examples/delete", self.remove, methods=["POST"]),
            Route("/undo", self.undo, methods=["POST"]),
            Route("/learn", self.learn, methods=["POST"]),
            Route("/take", self.take, methods=["POST"]),
            Route("/written/{name}", self.download),
        ]

    async def model(self, _: Request) -> Response:
        """In the form of the preview, for the modules that both pages share."""
        model = {
            "name": self.teacher.title,
            "classes": [],
            "input": self.teacher.recipe.input.to_dict(),
            "reads_numbers": False,
        }
        return JSONResponse({"models": [model], "corrections": None})

    async def state(self, request: Request) -> Response:
        if request.query_params.get("read") == "1":  # other programs may have changed the folder
            await self.pool.run(self.folder.read)
        return await self._state()

    async def add_class(self, request: Request) -> Response:
        add = partial(self.folder.add_class, _text(request, "name"))
        return JSONResponse({"name": await self.pool.run(add)}, status_code=201)

    async def rename_class(self, request: Request) -> Response:
        rename = partial(self.folder.rename_class, _text(request, "name"), _text(request, "to"))
        return JSONResponse({"name": await self.pool.run(rename)})

    async def remove_class(self, request: Request) -> Response:
        await self.pool.run(partial(self.folder.remove_class, _text(request, "name")))
        return Response(status_code=204)

    async def create_burst(self, _: Request) -> Response:
        return JSONResponse({"burst": new_burst()}, status_code=201)

    async def add_example(self, request: Request) -> Response:
        burst = request.query_params.get("burst", "")
        if burst and not BURST.fullmatch(burst):
            raise OptionError(f"burst must be one of POST /api/bursts; received: {burst[:40]!r}")
        content = await request.body()
        drawn = request.query_params.get("drawn") == "1"
        label = _text(request, "label")
        add = partial(self.teacher.add, label, content, burst=burst, drawn=drawn)
        run = self.pool.run if is_cheap(content) else self.pool.run_decoder
        return JSONResponse({"new": await _run(run, add)}, status_code=201)

    async def get_example(self, request: Request) -> Response:
        example = Example(_text(request, "label"), _text(request, "name"))
        large = request.query_params.get("large") == "1"
        small = partial(self.teacher.thumbnail, example, LARGEST if large else THUMBNAIL)
        content = await self.pool.run_decoder(small)
        return Response(content, media_type="image/jpeg", headers=KEPT)

    async def move(self, request: Request) -> Response:
        examples, to = _examples(await request.body()), _text(request, "to")
        await self.pool.run(partial(self.folder.move, examples, to))
        return Response(status_code=204)

    async def remove(self, request: Request) -> Response:
        examples = _examples(await request.body())
        await self.pool.run(partial(self.folder.remove, examples))
        return Response(status_code=204)

    async def undo(self, _: Request) -> Response:
        return JSONResponse({"undone": await self.pool.run(self.folder.undo)})

    async def learn(self, _: Request) -> Response:
        self.teacher.learn()
        return JSONResponse({}, status_code=202)

    async def take(self, _: Request) -> Response:
        self.teacher.take()
        return JSONResponse({}, status_code=202)

    async def download(self, request: Request) -> Response:
        """What was written: a file, or a folder as a zip file."""
        name = request.path_params["name"].removesuffix(".zip")
        written = {each.name for each in self.teacher.written}
        if name not in written:
            raise OptionError(f"there is no file {name[:80]!r}; write the files again")
        path = self.teacher.out / name
        if not path.is_dir():
            return FileResponse(path, filename=name)
        try:
            target = Path(mkdtemp(prefix="pocketlens-")) / f"{name}.zip"
            await self.pool.run(partial(_zip, path, target))
        except OSError as error:
            raise OutputError(f"{name} cannot be packed: {error.strerror}") from error
        shown = name if path.suffix else f"{self.teacher.title} {name}"
        return FileResponse(
            target, filename=f"{shown}.zip", background=BackgroundTask(_remove, target)
        )

    async def _state(self) -> Response:
        return JSONResponse(await self.pool.run(self.teacher.state))


async def _run(run: Any, function: Callable[[], T]) -> T:
    found: T = await run(function)
    return found


def _zip(path: Path, target: Path) -> None:
    """Write a folder as a zip file, with the folder's name inside.

    Raises:
        OSError: It cannot be written.
    """
    with ZipFile(target, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for file in sorted(path.rglob("*")):
            if file.is_file() and not file.is_symlink():
                archive.write(file, f"{path.name}/{file.relative_to(path).as_posix()}")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.rmdir()


def _text(request: Request, name: str) -> str:
    text = request.query_params.get(name)
    if text is None:
        raise OptionError(f"the address has no {name}; expected ?{name}=...")
    return text


def _examples(body: bytes) -> list[Example]:
    """The examples in a body, `[["cat", "1.jpg"], ...]`."""
    try:
        rows = json.loads(body)
        found = [Example(label, name) for label, name in rows[:MAX_CHANGED]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise OptionError('expected a list of examples, [["CLASS", "NAME"], ...]') from error
    if not all(isinstance(text, str) for one in found for text in (one.label, one.name)):
        raise OptionError('expected a list of examples, [["CLASS", "NAME"], ...]')
    return found
