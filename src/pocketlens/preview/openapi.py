"""The OpenAPI description of the preview's JSON API."""

from __future__ import annotations

from typing import Any

from pocketlens.image import COLORS, CROPS, INKS

__all__ = ["description"]

TEXT = {"type": "string"}
NUMBER = {"type": "number"}
COUNT = {"type": "integer"}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


PICTURE = {"image/*": {"schema": {"type": "string", "format": "binary"}}}

SEEN = {
    **_object(
        width=COUNT,
        height=COUNT,
        channels={"type": "integer", "enum": [1, 3]},
        data={"type": "string", "format": "byte"},
    ),
    "nullable": True,
    "description": "With seen=1, the pixels that the model was given, row by row, base64.",
}

ANSWER = _object(
    models={
        **_list(
            _object(
                name=TEXT,
                shown={
                    "type": "string",
                    "nullable": True,
                    "description": "The label to show; null for nothing, or nothing sure.",
                },
                confidence={"type": "number", "nullable": True},
                top={
                    **_list({"type": "array", "items": {}, "minItems": 2, "maxItems": 2}),
                    "description": "[class, probability], most probable first.",
                },
                milliseconds=NUMBER,
                seen=SEEN,
            )
        ),
        "description": "One for each Core ML file of the preview.",
    }
)

MODEL = _object(
    models=_list(
        _object(
            name=TEXT,
            classes=_list(TEXT),
            input=_object(
                height=COUNT,
                width=COUNT,
                color={"type": "string", "enum": list(COLORS)},
                scale=_list(NUMBER),
                bias=_list(NUMBER),
                crop={"type": "string", "enum": list(CROPS)},
                ink={"type": "string", "enum": list(INKS)},
            ),
            thresholds=_object(show=NUMBER, keep=NUMBER, present=NUMBER),
        )
    ),
    corrections={
        **_object(folder=TEXT, classes=_list(TEXT)),
        "nullable": True,
        "description": "Where corrected pictures are kept; null when none are.",
    },
)

CORRECTION = _object(label=TEXT, name=TEXT)


def description(server: str) -> dict[str, Any]:
    """Version 3.0 of https://spec.openapis.org/oas, for a server at this address."""
    return {
        "openapi": "3.0.3",
        "info": {"title": "Pocketlens preview", "version": "1"},
        "servers": [{"url": server}],
        "paths": {
            "/api/openapi.json": {"get": _operation("This description.", {"type": "object"})},
            "/api/model": {"get": _operation("The models: classes, input, thresholds.", MODEL)},
            "/api/predict": {
                "post": _operation(
                    "Name what is in a picture.",
                    ANSWER,
                    parameters=[
                        _parameter("top", "query", {"type": "integer", "minimum": 1}),
                        _parameter("seen", "query", {"type": "string", "enum": ["0", "1"]}),
                    ],
                    body=PICTURE,
                )
            },
            "/api/duels": {"post": _operation("Open a duel.", _object(code=TEXT), status=201)},
            "/api/corrections": {
                "get": _operation("All corrections.", _list(CORRECTION)),
                "post": _operation(
                    "Keep a picture as one of a class.",
                    CORRECTION,
                    status=201,
                    parameters=[_parameter("label", "query", TEXT, required=True)],
                    body=PICTURE,
                ),
            },
            "/api/corrections/{label}/{name}": {
                "parameters": [
                    _parameter("label", "path", TEXT, required=True),
                    _parameter("name", "path", TEXT, required=True),
                ],
                "get": _operation("The picture.", PICTURE["image/*"]["schema"], kind="image/png"),
                "delete": _operation("Delete it.", status=204),
            },
        },
    }


def _parameter(
    name: str, place: str, schema: dict[str, Any], *, required: bool = False
) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required, "schema": schema}


def _operation(
    summary: str,
    schema: dict[str, Any] | None = None,
    *,
    status: int = 200,
    kind: str = "application/json",
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    content = {"content": {kind: {"schema": schema}}} if schema else {}
    found: dict[str, Any] = {
        "summary": summary,
        "responses": {
            str(status): {"description": summary, **content},
            "default": {
                "description": "What was wrong: with the request (4xx), or here (5xx).",
                "content": {"application/json": {"schema": _object(error=TEXT)}},
            },
        },
    }
    if parameters:
        found["parameters"] = parameters
    if body:
        found["requestBody"] = {"required": True, "content": body}
    return found
