"""What other programs, and the page's photos, are answered: HTTP and JSON.

Every route is described by `/api/openapi.json`.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from pocketlens.errors import OptionError, PocketlensError
from pocketlens.preview.corrections import Correction, Corrections
from pocketlens.preview.duels import Duels
from pocketlens.preview.live import TOP, said
from pocketlens.preview.looking import Eyes
from pocketlens.preview.openapi import description
from pocketlens.preview.steady import Steady

__all__ = ["Api"]


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
        top = _count(request.query_params.get("top"), TOP)
        seen = request.query_params.get("seen") == "1"
        looks = await self.eyes.look(await request.body())
        answers = []
        for look in looks:
            steady = Steady.of(self.eyes.models[look.name], still=True)
            shown = steady.add(look.probabilities)
            answers.append(said(look, shown, seen=seen, top=top))
        return JSONResponse({"models": answers})

    async def open_duel(self, _: Request) -> Response:
        return JSONResponse({"code": self.duels.open()}, status_code=201)

    async def list_corrections(self, _: Request) -> Response:
        return JSONResponse([vars(each) for each in self._kept()])

    async def add_correction(self, request: Request) -> Response:
        label = request.query_params.get("label", "")
        return JSONResponse(vars(self._kept().add(await request.body(), label)), status_code=201)

    async def get_correction(self, request: Request) -> Response:
        path = self._kept().path(Correction(**request.path_params))
        return FileResponse(path, media_type="image/png")

    async def remove_correction(self, request: Request) -> Response:
        self._kept().remove(Correction(**request.path_params))
        return Response(status_code=204)

    def _kept(self) -> Corrections:
        if self.corrections is None:
            raise OptionError(
                "nothing is kept here; start the preview with --collect FOLDER to keep corrections"
            )
        return self.corrections


async def told(_: Request, error: Exception) -> Response:
    """One of our errors, as JSON."""
    assert isinstance(error, PocketlensError)
    return JSONResponse({"error": str(error)}, status_code=400)


def _count(text: str | None, usual: int) -> int:
    if text is None:
        return usual
    if not text.isdecimal() or not 1 <= len(text) <= 6 or int(text) < 1:
        raise OptionError(f"top is a count from 1; received: {text[:20]!r}")
    return int(text)
