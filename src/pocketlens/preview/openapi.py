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


def _object(
    optional: dict[str, dict[str, Any]] | None = None, **properties: dict[str, Any]
) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties | (optional or {}),
        "required": list(properties),
    }


IMAGE = {"image/*": {"schema": {"type": "string", "format": "binary"}}}

SEEN = {
    **_object(
        width=COUNT,
        height=COUNT,
        channels={"type": "integer", "enum": [1, 3]},
        data={"type": "string", "format": "byte"},
    ),
    "nullable": True,
    "description": "With seen=1: the model's input pixels, row by row, in base64.",
}

ANSWER = _object(
    models={
        **_list(
            _object(
                name=TEXT,
                shown={
                    "type": "string",
                    "nullable": True,
                    "description": "The label to show; null for `nothing` or if uncertain.",
                },
                confidence={"type": "number", "nullable": True},
                verdict={
                    "type": "string",
                    "description": "The label to show; otherwise `nothing`, if it is the most "
                    "probable class, or `not sure`.",
                },
                top={
                    **_list({"type": "array", "items": {}, "minItems": 2, "maxItems": 2}),
                    "description": "Pairs [class, probability], most probable first.",
                },
                milliseconds=NUMBER,
                seen=SEEN,
            )
        ),
        "description": "One entry per model of the preview.",
    }
)

EXPLANATION = _object(
    name=TEXT,
    label=TEXT,
    confidence=NUMBER,
    method={**TEXT, "description": "How the map was computed, in a few words."},
    share={**NUMBER, "description": "The share of the map with half of what speaks for the label."},
    map={
        **_list(_list(NUMBER)),
        "description": "Rows over the model's input; above 0: this part speaks for the label.",
    },
    picture={
        "type": "string",
        "format": "byte",
        "description": "The map over the model's input: a PNG file in base64.",
    },
)

BOX = {
    **_list(COUNT),
    "minItems": 4,
    "maxItems": 4,
    "description": "Left, top, right and bottom in pixels of the image in this answer.",
}

NUMBERS = _object(
    width={**COUNT, "description": "The width of the image, which may have been reduced."},
    height=COUNT,
    models={
        **_list(
            _object(
                name=TEXT,
                number={**TEXT, "description": "Lines of digits; `?` for one that is not sure."},
                sure={"type": "boolean"},
                digits=_list(
                    _object(
                        label=TEXT,
                        confidence=NUMBER,
                        sure={"type": "boolean"},
                        line=COUNT,
                        box=BOX,
                    )
                ),
            )
        ),
        "description": "One entry per model whose classes are digits.",
    },
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
                optional={"assumed": _list(TEXT)},
            ),
            thresholds=_object(show=NUMBER, keep=NUMBER, present=NUMBER),
            reads_numbers={
                "type": "boolean",
                "description": "Whether the classes are digits, so that it can read numbers.",
            },
        )
    ),
    corrections={
        **_object(folder=TEXT, classes=_list(TEXT)),
        "nullable": True,
        "description": "Where corrected images are stored; null if they are not stored.",
    },
)

CORRECTION = _object(label=TEXT, name=TEXT)


def description(server: str) -> dict[str, Any]:
    """The description, by version 3.0 of https://spec.openapis.org/oas.

    Args:
        server: The address of the server.
    """
    return {
        "openapi": "3.0.3",
        "info": {"title": "Pocketlens preview", "version": "1"},
        "servers": [{"url": server}],
        "paths": {
            "/api/openapi.json": {
                "get": _operation("Return this description.", {"type": "object"})
            },
            "/api/model": {
                "get": _operation("List the models: classes, input, thresholds.", MODEL)
            },
            "/api/predict": {
                "post": _operation(
                    "Classify an image.",
                    ANSWER,
                    parameters=[
                        _parameter("top", "query", {"type": "integer", "minimum": 1}),
                        _parameter("seen", "query", {"type": "string", "enum": ["0", "1"]}),
                        _parameter("ink", "query", {"type": "string", "enum": list(INKS)}),
                    ],
                    body=IMAGE,
                )
            },
            "/api/explain": {
                "post": _operation(
                    "Show which parts of an image speak for a label.",
                    EXPLANATION,
                    parameters=[
                        _parameter("model", "query", TEXT),
                        _parameter("label", "query", TEXT),
                        _parameter("ink", "query", {"type": "string", "enum": list(INKS)}),
                    ],
                    body=IMAGE,
                )
            },
            "/api/number": {
                "post": _operation("Find and read the digits of a number.", NUMBERS, body=IMAGE)
            },
            "/api/duels": {"post": _operation("Create a duel.", _object(code=TEXT), status=201)},
            "/api/corrections": {
                "get": _operation("List all corrections.", _list(CORRECTION)),
                "post": _operation(
                    "Store an image with its correct class.",
                    CORRECTION,
                    status=201,
                    parameters=[_parameter("label", "query", TEXT, required=True)],
                    body=IMAGE,
                ),
            },
            "/api/corrections/{label}/{name}": {
                "parameters": [
                    _parameter("label", "path", TEXT, required=True),
                    _parameter("name", "path", TEXT, required=True),
                ],
                "get": _operation(
                    "Return the image of a correction.",
                    IMAGE["image/*"]["schema"],
                    media_type="image/png",
                ),
                "delete": _operation("Delete a correction.", status=204),
            },
        },
    }


def _parameter(
    name: str, location: str, schema: dict[str, Any], *, required: bool = False
) -> dict[str, Any]:
    return {"name": name, "in": location, "required": required, "schema": schema}


def _operation(
    summary: str,
    schema: dict[str, Any] | None = None,
    *,
    status: int = 200,
    media_type: str = "application/json",
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    content = {"content": {media_type: {"schema": schema}}} if schema else {}
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {
            str(status): {"description": summary, **content},
            "default": {
                "description": "An error in the request (4xx) or on the server (5xx).",
                "content": {"application/json": {"schema": _object(error=TEXT)}},
            },
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if body:
        operation["requestBody"] = {"required": True, "content": body}
    return operation
