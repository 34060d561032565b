"""What other programs, and the page's photos, are answered: HTTP and JSON.

Every route is described by `/api/openapi.json`.
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from pocketlens.errors import OptionError, OutputError, PocketlensError
from pocketlens.preview.corrections import Correction, Corrections
from pocketlens.preview.duel.rooms import Duels
from pocketlens.preview.inference import Eyes
from pocketlens.preview.live import TOP, said
from pocketlens.preview.openapi import description
from pocketlens.preview.smoothing import Steady

__all__ = ["ERRORS", "Api"]


class Api:
    """The routes below `/api`.

    Args:
        eyes: Who looks at the pictures.
        duels: Where duels are opened.
        corrections: Where corrected pictures are kept; None to keep none.
    """

    def __init__(self, eyes: Eyes, duels: Duels, corrections: Corrections | None) -> None:
        self.eyes = eyes
        self.duels = duels
        self.corrections = corrections

    @property
    def routes(self) -> list[Route]:
        """Everything there is."""
        one = "/corrections/{label}/{name}"
        return [
            Route("/openapi.json", self.openapi),
            Route("/model", self.model),
            Route("/predict", self.predict, methods=["POST"]),
            Route("/duels", self.open_duel, methods=["POST"]),
            Route("/corrections", self.list_corrections),
            Route("/corrections", self.add_correction, methods=["POST"]),
            Route(one, self.get_correction),
            Route(one, self.remove_correction, methods=["DELETE"]),
        ]

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(description(str(request.base_url).rstrip("/")))

    async def model(self, _: Request) -> Response:
        kept = self.corrections
        return JSONResponse(
            {
                "models": [
                    {
                        "name": name,
                        "classes": list(model.classes),
                        "input": model.input_spec.to_dict(),
                        "thresholds": vars(model.thresholds),
                    }
                    for name, model in self.eyes.models.items()
                ],
                "corrections": None
                if kept is None
                else {"folder": str(kept.folder), "classes": list(kept.classes)},
            }
        )

    async def predict(self, request: Request) -> Response:
        top, seen = _count(request, "top", TOP), _switch(request, "seen")
        looks = await self.eyes.look(await request.body())
        still = {name: Steady.of(model, still=True) for name, model in self.eyes.models.items()}
        answers = [said(look, still[look.name], seen=seen, top=top) for look in looks]
        return JSONResponse({"models": answers})

    async def open_duel(self, _: Request) -> Response:
        return JSONResponse({"code": self.duels.open()}, status_code=201)

    async def list_corrections(self, _: Request) -> Response:
        kept = await run_in_threadpool(list, self._kept())
        return JSONResponse([vars(each) for each in kept])

    async def add_correction(self, request: Request) -> Response:
        label = request.query_params.get("label", "")
        added = await run_in_threadpool(self._kept().add, await request.body(), label)
        return JSONResponse(vars(added), status_code=201)

    async def get_correction(self, request: Request) -> Response:
        path = self._kept().path(Correction(**request.path_params))
        return FileResponse(path, media_type="image/png")

    async def remove_correction(self, request: Request) -> Response:
        await run_in_threadpool(self._kept().remove, Correction(**request.path_params))
        return Response(status_code=204)

    def _kept(self) -> Corrections:
        if self.corrections is None:
            raise OptionError(
                "nothing is kept here; start the preview with --collect FOLDER to keep corrections"
            )
        return self.corrections


def _count(request: Request, name: str, usual: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return usual
    if not text.isdecimal() or len(text) > 6 or int(text) < 1:
        raise OptionError(f"{name} is a count from 1; received: {text[:20]!r}")
    return int(text)


def _switch(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "0")
    if text not in ("0", "1"):
        raise OptionError(f"{name} is 0 or 1; received: {text[:20]!r}")
    return text == "1"


async def _told(_: Request, error: Exception) -> Response:
    """What was wrong with a request, in our own words."""
    status = 500 if isinstance(error, OutputError) else 400
    return JSONResponse({"error": str(error)}, status_code=status)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404:
        detail = f"there is nothing at {request.url.path[:100]}; see /api/openapi.json"
    return JSONResponse({"error": detail}, status_code=error.status_code, headers=error.headers)


async def _broken(_: Request, __: Exception) -> Response:
    """A fault of ours; the server raises it once more, so that it is seen where it runs."""
    return JSONResponse({"error": "the preview has a fault; see its terminal"}, status_code=500)


ERRORS = {PocketlensError: _told, HTTPException: _refused, Exception: _broken}
"""How exceptions are answered: as JSON, `{"error": "..."}`."""
