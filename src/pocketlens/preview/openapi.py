"""The OpenAPI description of the preview's JSON API."""

from __future__ import annotations

from typing import Any

__all__ = ["description"]

PICTURE = {"image/*": {"schema": {"type": "string", "format": "binary"}}}

SEEN = {
    "type": "object",
    "nullable": True,
    "description": "The pixels that the model was given, row by row, base64.",
    "properties": {
        "width": {"type": "integer"},
        "height": {"type": "integer"},
        "channels": {"type": "integer", "enum": [1, 3]},
        "data": {"type": "string", "format": "byte"},
    },
}

ANSWER = {
    "type": "object",
    "properties": {
        "models": {
            "type": "array",
            "description": "One for each Core ML file of the preview.",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "shown": {
                        "type": "string",
                        "nullable": True,
                        "description": "The label to show; null for nothing, or nothing sure.",
                    },
                    "confidence": {"type": "number", "nullable": True},
                    "top": {
                        "type": "array",
                        "description": "[class, probability], most probable first.",
                        "items": {"type": "array", "items": {}},
                    },
                    "milliseconds": {"type": "number"},
                    "seen": SEEN,
                },
            },
        }
    },
}

CORRECTION = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "name": {"type": "string"}},
}


def description(server: str) -> dict[str, Any]:
    """Version 3.0 of https://spec.openapis.org/oas, for a server at this address."""
    label = _parameter("label", "path", "string", required=True)
    name = _parameter("name", "path", "string", required=True)
    return {
        "openapi": "3.0.3",
        "info": {"title": "Pocketlens preview", "version": "1"},
        "servers": [{"url": server}],
        "paths": {
            "/api/model": {"get": _operation("The models: classes, input, thresholds.")},
            "/api/predict": {
                "post": _operation(
                    "Name what is in a picture.",
                    ANSWER,
                    parameters=[
                        _parameter("top", "query", "integer"),
                        _parameter("seen", "query", "string"),
                    ],
                    body=PICTURE,
                )
            },
            "/api/duels": {"post": _operation("Open a duel.", {"type": "object"}, status=201)},
            "/api/corrections": {
                "get": _operation("All corrections.", {"type": "array", "items": CORRECTION}),
                "post": _operation(
                    "Keep a picture as one of a class.",
                    CORRECTION,
                    status=201,
                    parameters=[_parameter("label", "query", "string", required=True)],
                    body=PICTURE,
                ),
            },
            "/api/corrections/{label}/{name}": {
                "parameters": [label, name],
                "get": _operation("The picture, PNG."),
                "delete": _operation("Delete it.", status=204),
            },
        },
    }


def _parameter(name: str, place: str, kind: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required, "schema": {"type": kind}}


def _operation(
    summary: str,
    schema: dict[str, Any] | None = None,
    *,
    status: int = 200,
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    content = {"content": {"application/json": {"schema": schema}}} if schema else {}
    error = {"type": "object", "properties": {"error": {"type": "string"}}}
    found: dict[str, Any] = {
        "summary": summary,
        "responses": {
            str(status): {"description": summary, **content},
            "400": {
                "description": "What was wrong.",
                "content": {"application/json": {"schema": error}},
            },
        },
    }
    if parameters:
        found["parameters"] = parameters
    if body:
        found["requestBody"] = {"required": True, "content": body}
    return found
