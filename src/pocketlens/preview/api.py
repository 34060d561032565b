"""The JSON API over HTTP, for the page's photos and for other programs.

`/api/openapi.json` describes every route.
"""

from __future__ import annotations

from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pocketlens.errors import OptionError, OutputError, PocketlensError
from pocketlens.image import INKS, Ink
from pocketlens.preview.access import GUEST
from pocketlens.preview.corrections import Correction, Corrections
from pocketlens.preview.duel.rooms import Duels
from pocketlens.preview.explaining import Explainer
from pocketlens.preview.inference import InferencePool
from pocketlens.preview.live import TOP, result_to_json
from pocketlens.preview.numbers import NumberReader
from pocketlens.preview.openapi import description
from pocketlens.preview.smoothing import Smoother

__all__ = ["EXCEPTION_HANDLERS", "Api", "ModelApi"]


class ModelApi:
    """What every page asks of its models.

    Args:
        pool: The models that process the images.
    """

    def __init__(self, pool: InferencePool) -> None:
        self.pool = pool
        self.explainer = Explainer(pool)

    async def predict(self, request: Request) -> Response:
        top, seen = _positive_integer(request, "top", TOP), _flag(request, "seen")
        ink = _ink(request)
        results = await self.pool.predict(await request.body(), ink=ink)
        answers = [
            result_to_json(each, Smoother.for_model(each.model, still=True), seen=seen, top=top)
            for each in results
        ]
        return JSONResponse({"models": answers})

    async def explain(self, request: Request) -> Response:
        given = request.query_params
        answer = await self.explainer.explain(
            await request.body(),
            name=given.get("model"),
            label=given.get("label"),
            ink=_ink(request),
        )
        return JSONResponse(answer)


class Api(ModelApi):
    """The routes below `/api`.

    Args:
        pool: The models that process the images.
        duels: The rooms of the duel.
        corrections: Where corrected images are stored; None to store none.
    """

    def __init__(self, pool: InferencePool, duels: Duels, corrections: Corrections | None) -> None:
        super().__init__(pool)
        self.duels = duels
        self.corrections = corrections
        self.numbers = NumberReader(pool)

    @property
    def routes(self) -> list[Route]:
        """All routes of the API."""
        one = "/corrections/{label}/{name}"
        return [
            Route("/openapi.json", self.openapi),
            Route("/model", self.model),
            Route("/predict", self.predict, methods=["POST"]),
            Route("/explain", self.explain, methods=["POST"]),
            Route("/number", self.number, methods=["POST"]),
            Route("/duels", self.create_duel, methods=["POST"]),
            Route("/corrections", self.list_corrections),
            Route("/corrections", self.add_correction, methods=["POST"]),
            Route(one, self.get_correction),
            Route(one, self.delete_correction, methods=["DELETE"]),
        ]

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(description(str(request.base_url).rstrip("/")))

    async def model(self, request: Request) -> Response:
        corrections = None if request.scope[GUEST] else self.corrections
        return JSONResponse(
            {
                "models": [
                    {
                        "name": name,
                        "classes": list(model.classes),
                        "input": model.input_spec.to_dict(),
                        "thresholds": vars(model.thresholds),
                        "reads_numbers": name in self.numbers.models,
                    }
                    for name, model in self.pool.models.items()
                ],
                "corrections": None
                if corrections is None
                else {"folder": corrections.folder.name, "classes": list(corrections.classes)},
            }
        )

    async def number(self, request: Request) -> Response:
        return JSONResponse(await self.numbers.read(await request.body()))

    async def create_duel(self, _: Request) -> Response:
        return JSONResponse({"code": self.duels.create()}, status_code=201)

    async def list_corrections(self, _: Request) -> Response:
        corrections = self._corrections()
        found = await self.pool.run(lambda: [vars(each) for each in corrections])
        return JSONResponse(found)

    async def add_correction(self, request: Request) -> Response:
        label = request.query_params.get("label", "")
        add = partial(self._corrections().add, await request.body(), label)
        added = await self.pool.run_decoder(add)
        return JSONResponse(vars(added), status_code=201)

    async def get_correction(self, request: Request) -> Response:
        one = Correction(**request.path_params)
        content = await self.pool.run(partial(self._corrections().read, one))
        return Response(content, media_type="image/png")

    async def delete_correction(self, request: Request) -> Response:
        one = Correction(**request.path_params)
        await self.pool.run(partial(self._corrections().remove, one))
        return Response(status_code=204)

    def _corrections(self) -> Corrections:
        if self.corrections is None:
            raise OptionError(
                "corrections are not stored; start the preview with --collect FOLDER to store them"
            )
        return self.corrections


def _positive_integer(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 6 or int(text) < 1:
        raise OptionError(f"{name} must be an integer from 1 to 999999; received: {text[:20]!r}")
    return int(text)


def _ink(request: Request) -> Ink | None:
    text = request.query_params.get("ink")
    for ink in INKS:
        if text == ink:
            return ink
    if text is not None:
        raise OptionError(f"ink must be dark or light; received: {text[:20]!r}")
    return None


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "0")
    if text not in ("0", "1"):
        raise OptionError(f"{name} must be 0 or 1; received: {text[:20]!r}")
    return text == "1"


async def _package_error(_: Request, error: Exception) -> Response:
    """An error of this package: its message says what was wrong."""
    status = 500 if isinstance(error, OutputError) else 400
    return JSONResponse({"error": str(error)}, status_code=status)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404:
        detail = f"nothing found at {request.url.path[:100]}; see /api/openapi.json"
    return JSONResponse({"error": detail}, status_code=error.status_code, headers=error.headers)


async def _client_left(_: Request, __: Exception) -> Response:
    """The client left during its upload. Nobody receives this response."""
    return Response(status_code=400)


async def _internal_error(_: Request, __: Exception) -> Response:
    """A bug. Starlette raises the exception again, so that its traceback is printed."""
    return JSONResponse(
        {"error": "internal error; see the terminal that runs the preview"}, status_code=500
    )


EXCEPTION_HANDLERS = {
    PocketlensError: _package_error,
    HTTPException: _http_error,
    ClientDisconnect: _client_left,
    Exception: _internal_error,
}
"""Turn exceptions into JSON responses, `{"error": "..."}`."""
