"""The JSON API: every route, its errors, and its OpenAPI description."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from command_line import output_of
from font_digits import FontDigits, write
from pocketlens.coreml import load
from pocketlens.errors import OptionError
from pocketlens.explanation import explain
from pocketlens.preview.api import Api
from pocketlens.preview.duel.rooms import Duels
from pocketlens.preview.explaining import Explainer
from pocketlens.preview.inference import InferencePool
from pocketlens.preview.openapi import description
from pocketlens.preview.turns import MAX_WAITING
from preview.server import (
    CLASSES,
    SIDE,
    Quarters,
    image_bytes,
    quarter,
    quarters_file,
    serving,
)

NOISE = np.random.default_rng(9).integers(0, 256, (50, 70, 3), np.uint8)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quarters_file(tmp_path_factory.mktemp("models") / "Quarters.mlmodel")


@pytest.fixture(scope="module")
def client(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("preview") / "corrections"
    with serving({"Quarters": load(file)}, corrections=folder) as server, server.client() as client:
        yield client


def test_explain(client: httpx.Client, file: Path) -> None:
    image = image_bytes("top left")
    found = client.post("/api/explain", content=image).json()
    expected = explain(load(file), quarter("top left"))
    assert (found["name"], found["label"]) == ("Quarters", "top left")
    assert found["confidence"] == pytest.approx(expected.confidence)
    np.testing.assert_allclose(found["map"], expected.map, rtol=1e-5)
    with Image.open(BytesIO(base64.b64decode(found["picture"]))) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) >= 224
    query = {"model": "Quarters", "label": "bottom right", "ink": "light"}
    other = client.post("/api/explain", content=image, params=query).json()
    assert other["label"] == "bottom right"
    assert other["confidence"] == pytest.approx(1 / 3, abs=0.01), "three quarters are bright"


@pytest.mark.parametrize(
    ("query", "content", "message"),
    [
        ({"label": "top lefd"}, image_bytes("top left"), "did you mean 'top left'?"),
        ({"model": "Quartets"}, image_bytes("top left"), "did you mean 'Quarters'?"),
        ({"ink": "red"}, image_bytes("top left"), "ink must be dark or light; received: 'red'"),
        ({}, b"no image", "unsupported image format"),
    ],
)
def test_explain_errors(
    client: httpx.Client, query: dict[str, str], content: bytes, message: str
) -> None:
    answer = client.post("/api/explain", params=query, content=content)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_few_explanations_wait() -> None:
    """One is computed at a time; of many more, the last ones are refused."""
    running = most = 0

    def count() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.001)
        running -= 1

    pool = InferencePool({"Quarters": Quarters(before=count)})
    explainer = Explainer(pool)

    async def many() -> list[Any]:
        image = image_bytes("top left")
        asked = [
            explainer.explain(image, name=None, label=None, ink=None)
            for _ in range(MAX_WAITING + 3)
        ]
        return list(await asyncio.gather(*asked, return_exceptions=True))

    found = asyncio.run(many())
    pool.close()
    assert most == 1
    errors = [each for each in found if isinstance(each, OptionError)]
    assert len(errors) == 2
    assert "try again in a few seconds" in str(errors[0])
    assert [each["method"] for each in found if isinstance(each, dict)] == [
        "parts of the image covered in turn"
    ] * (MAX_WAITING + 1)


def test_number() -> None:
    photo = write("407", "1", paper=30, pen=220)
    photo = photo.resize((8 * photo.width, 8 * photo.height))
    file = BytesIO()
    photo.save(file, "PNG")
    with serving({"Font": FontDigits(), "Other": Quarters()}) as server, server.client() as client:
        found = client.post("/api/number", content=file.getvalue()).json()
        assert max(found["width"], found["height"]) == 1600
        (answer,) = found["models"]
        assert (answer["name"], answer["number"], answer["sure"]) == ("Font", "407\n1", True)
        assert [digit["line"] for digit in answer["digits"]] == [1, 1, 1, 2]
        assert all(0 <= side <= 1600 for digit in answer["digits"] for side in digit["box"])
        models = client.get("/api/model").json()["models"]
        assert [model["reads_numbers"] for model in models] == [True, False]
        bad = client.post("/api/number", content=b"no image")
        assert bad.status_code == 400
        assert "unsupported image format" in bad.json()["error"]


def test_number_without_a_model_of_digits(client: httpx.Client) -> None:
    answer = client.post("/api/number", content=image_bytes("top left"))
    assert answer.status_code == 400
    assert "needs a model with the classes 0 to 9" in answer.json()["error"]


def test_model(client: httpx.Client) -> None:
    body = client.get("/api/model").json()
    (model,) = body["models"]
    assert model["name"] == "Quarters"
    assert model["classes"] == list(CLASSES)
    assert model["thresholds"] == {"show": 0.7, "keep": 0.5, "present": 0.5}
    spec = model["input"]
    assert (spec["height"], spec["width"], spec["color"]) == (SIDE, SIDE, "gray")
    assert spec["ink"] in ("dark", "light")
    assert body["corrections"]["classes"] == list(CLASSES)
    assert body["corrections"]["folder"].endswith("corrections")


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_results_equal_command_and_python(
    client: httpx.Client, file: Path, tmp_path: Path, file_format: str
) -> None:
    path = tmp_path / f"noise.{file_format.lower()}"
    path.write_bytes(image_bytes(NOISE, file_format))
    answer = client.post("/api/predict", content=path.read_bytes(), params={"top": 5})
    assert answer.status_code == 200
    top = dict(answer.json()["models"][0]["top"])
    assert top == pytest.approx(load(file).predict(path).probabilities, abs=1e-6)
    (printed,) = json.loads(output_of("predict", file, path, "--top", 5, "--json"))
    assert top == pytest.approx(printed["top"], abs=1e-6)


def test_input_pixels_of_the_model(client: httpx.Client) -> None:
    answer = client.post("/api/predict?seen=1", content=image_bytes("top left")).json()
    pixels = base64.b64decode(answer["models"][0]["seen"]["data"])
    assert pixels == quarter("top left").tobytes()
    for query in ("", "?seen=0"):
        answer = client.post(f"/api/predict{query}", content=image_bytes("top left")).json()
        assert answer["models"][0]["seen"] is None


@pytest.mark.parametrize(("top", "count"), [(1, 1), (3, 3), (5, 5), (999_999, 5)])
def test_top(client: httpx.Client, top: int, count: int) -> None:
    body = client.post("/api/predict", params={"top": top}, content=image_bytes("top left")).json()
    assert len(body["models"][0]["top"]) == count
    assert body["models"][0]["top"][0][0] == "top left"


def test_shown_is_null_for_nothing(client: httpx.Client) -> None:
    (result,) = client.post("/api/predict", content=image_bytes("nothing")).json()["models"]
    assert result["shown"] is None
    assert result["confidence"] is None
    assert result["verdict"] == result["top"][0][0] == "nothing"


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "message"),
    [
        ("POST", "/api/predict", b"", 400, "unsupported image format; expected one of: PNG, "),
        ("POST", "/api/predict", b"x" * 99, 400, "has an unsupported image format"),
        (
            "POST",
            "/api/predict?top=0",
            b"",
            400,
            "top must be an integer from 1 to 999999; received: '0'",
        ),
        (
            "POST",
            "/api/predict?top=-1",
            b"",
            400,
            "top must be an integer from 1 to 999999; received: '-1'",
        ),
        (
            "POST",
            "/api/predict?top=1e3",
            b"",
            400,
            "top must be an integer from 1 to 999999; received: '1e3'",
        ),
        ("POST", "/api/predict?top=9999999", b"", 400, "top must be an integer from 1 to 999999"),
        (
            "POST",
            "/api/predict?top=",
            b"",
            400,
            "top must be an integer from 1 to 999999; received: ''",
        ),
        ("POST", "/api/predict?seen=yes", b"", 400, "seen must be 0 or 1; received: 'yes'"),
        ("POST", "/api/corrections", b"", 400, "unknown label ''; expected one of: 'top left', "),
        ("POST", "/api/corrections?label=7", b"", 400, "unknown label '7'"),
        ("POST", "/api/corrections?label=nothing", b"x", 400, "unsupported image format"),
        ("GET", "/api/corrections/nothing/0", b"", 400, "no correction '0' with label 'nothing'"),
        ("DELETE", "/api/corrections/nothing/0", b"", 400, "no correction '0' with label"),
        ("GET", "/api/corrections/..%2F..%2Fetc/passwd", b"", 404, "nothing found at"),
        ("GET", "/api/predict", b"", 405, "Method Not Allowed"),
        ("GET", "/api/", b"", 404, "nothing found at /api/; see /api/openapi.json"),
        ("GET", "/api/openapi.yaml", b"", 404, "nothing found at /api/openapi.yaml"),
    ],
)
def test_errors(
    client: httpx.Client, method: str, path: str, content: bytes, status: int, message: str
) -> None:
    answer = client.request(method, path, content=content)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    assert message in answer.json()["error"]


def test_image_too_large(client: httpx.Client) -> None:
    answer = client.post("/api/predict", content=image_bytes(np.zeros((5001, 6000), np.uint8)))
    assert answer.status_code == 400
    assert (
        "6000 × 5001 pixels; expected at most 30000000 for a photo; make it smaller" in answer.text
    )


def test_add_list_get_and_delete_corrections(client: httpx.Client) -> None:
    assert client.get("/api/corrections").json() == []
    content = image_bytes(NOISE)
    added = client.post("/api/corrections", params={"label": "bottom left"}, content=content)
    assert added.status_code == 201
    correction = added.json()
    assert correction.keys() == {"label", "name"}
    assert client.get("/api/corrections").json() == [correction]
    path = f"/api/corrections/{correction['label']}/{correction['name']}"
    image = client.get(path)
    assert image.headers["content-type"] == "image/png"
    again = client.post("/api/predict", content=image.content).json()["models"][0]
    first = client.post("/api/predict", content=content).json()["models"][0]
    assert again["top"] == first["top"]
    removed = client.delete(path)
    assert (removed.status_code, removed.content) == (204, b"")
    assert client.get("/api/corrections").json() == []
    assert client.get(path).status_code == 400


def test_corrections_need_a_folder(tmp_path: Path) -> None:
    with serving(Quarters()) as server, server.client() as client:
        assert client.get("/api/model").json()["corrections"] is None
        for method, path in [
            ("GET", "/api/corrections"),
            ("POST", "/api/corrections?label=nothing"),
            ("GET", "/api/corrections/nothing/0"),
            ("DELETE", "/api/corrections/nothing/0"),
        ]:
            answer = client.request(method, path, content=image_bytes("top left"))
            assert answer.status_code == 400
            assert "start the preview with --collect FOLDER to store them" in answer.json()["error"]


def test_corrections_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with (
        serving(Quarters(), corrections=tmp_path / "corrections") as server,
        server.client() as client,
    ):
        (tmp_path / "corrections").write_text("in the way")
        answer = client.post("/api/corrections?label=nothing", content=image_bytes("nothing"))
        assert answer.status_code == 500
        error = answer.json()["error"]
        assert error.startswith("corrections/nothing/")
        assert error.endswith(".png cannot be written: File exists")
        assert str(tmp_path) not in error
        assert "cannot be written" in answer.json()["error"]


# The OpenAPI description. The checks follow the parts of https://spec.openapis.org/oas/v3.0.3 that
# it uses.

TYPES = {"string", "number", "integer", "boolean", "array", "object"}
METHODS = {"get", "post", "delete", "put", "patch", "head", "options"}


def check_schema(schema: dict[str, Any]) -> None:
    known = {"type", "items", "properties", "required", "nullable", "description", "enum", "format"}
    assert schema.keys() <= known | {"minimum", "minItems", "maxItems"}
    if not schema:
        return
    assert schema["type"] in TYPES
    assert ("items" in schema) == (schema["type"] == "array")
    if "items" in schema:
        check_schema(schema["items"])
    for each in schema.get("properties", {}).values():
        check_schema(each)
    assert set(schema.get("required", [])) <= set(schema.get("properties", {}))


def check_content(content: dict[str, Any]) -> None:
    for media_type, media in content.items():
        assert media_type.count("/") == 1
        check_schema(media["schema"])


def test_description_is_valid(client: httpx.Client) -> None:
    document = client.get("/api/openapi.json").json()
    assert document["openapi"] == "3.0.3"
    assert document["info"].keys() == {"title", "version"}
    assert document["servers"] == [{"url": str(client.base_url).rstrip("/")}]
    assert document.keys() == {"openapi", "info", "servers", "paths"}
    for path, item in document["paths"].items():
        assert path.startswith("/")
        assert item.keys() <= METHODS | {"parameters"}
        for method in item.keys() & METHODS:
            operation = item[method]
            assert operation["summary"]
            assert operation["responses"]
            for status, response in operation["responses"].items():
                assert status == "default" or 200 <= int(status) < 600
                assert response["description"]
                check_content(response.get("content", {}))
            if "requestBody" in operation:
                assert method == "post"
                check_content(operation["requestBody"]["content"])
            parameters = [*item.get("parameters", []), *operation.get("parameters", [])]
            for parameter in parameters:
                assert parameter.keys() == {"name", "in", "required", "schema"}
                assert parameter["in"] in ("path", "query")
                check_schema(parameter["schema"])
            in_path = {p["name"] for p in parameters if p["in"] == "path"}
            assert in_path == {part[1:-1] for part in path.split("/") if part.startswith("{")}
            assert all(p["required"] for p in parameters if p["in"] == "path")


def test_every_route_is_described() -> None:
    pool = InferencePool({"Quarters": Quarters()})
    routes = {
        (f"/api{route.path}", method.lower())
        for route in Api(pool, Duels(pool), None).routes
        for method in (route.methods or set()) - {"HEAD"}
    }
    paths = description("http://localhost")["paths"]
    assert routes == {(path, m) for path, item in paths.items() for m in item.keys() & METHODS}


PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "array": list,
    "object": dict,
}


def check_value(value: Any, schema: dict[str, Any], place: str) -> None:
    """Check a value against its schema; `place` says in messages where the value is."""
    if value is None and schema.get("nullable"):
        return
    if not schema:
        return
    has_type = isinstance(value, PYTHON_TYPES[schema["type"]])
    assert has_type, place
    assert value in schema.get("enum", [value]), place
    if schema["type"] == "array":
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        for number, each in enumerate(value):
            check_value(each, schema["items"], f"{place}[{number}]")
    if "properties" in schema:
        assert set(schema["required"]) <= value.keys() <= schema["properties"].keys(), place
        for name, each in value.items():
            check_value(each, schema["properties"][name], f"{place}.{name}")


def test_responses_match_the_description(client: httpx.Client) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("get", "/api/openapi.json", {}),
        ("get", "/api/model", {}),
        ("post", "/api/predict", {"params": {"seen": 1}, "content": image_bytes("top left")}),
        ("post", "/api/predict", {"content": image_bytes("nothing")}),
        ("post", "/api/predict", {"content": b"no image"}),
        ("post", "/api/explain", {"content": image_bytes("top left")}),
        ("post", "/api/explain", {"params": {"label": "x"}, "content": image_bytes("top left")}),
        ("post", "/api/number", {"content": image_bytes("top left")}),
        ("post", "/api/duels", {}),
        (
            "post",
            "/api/corrections",
            {"params": {"label": "nothing"}, "content": image_bytes(NOISE)},
        ),
        ("get", "/api/corrections", {}),
        ("get", "/api/corrections/{label}/{name}", {}),
        ("delete", "/api/corrections/{label}/{name}", {}),
        ("delete", "/api/corrections/{label}/{name}", {}),
    ]
    assert {(method, path) for method, path, _ in requests} == {
        (method, path) for path, item in paths.items() for method in item.keys() & METHODS
    }
    correction: dict[str, str] = {}
    for method, path, options in requests:
        answer = client.request(method, path.format(**correction), **options)
        described = paths[path][method]["responses"]
        response = described.get(str(answer.status_code), described["default"])
        if answer.status_code >= 400:
            assert str(answer.status_code) not in described
        if "content" not in response:
            assert answer.content == b""
            continue
        ((media_type, media),) = response["content"].items()
        assert answer.headers["content-type"] == media_type
        if media_type == "application/json":
            check_value(answer.json(), media["schema"], f"{method} {path}")
        if path == "/api/corrections" and method == "post":
            correction = answer.json()


def test_page_is_served(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "<html" in page.text


def test_files_outside_the_page_are_not_served(client: httpx.Client) -> None:
    for path in ("/server.py", "/../server.py", "/%2e%2e/api.py", "/.git/config"):
        assert client.get(path).status_code == 404


def test_the_ink_of_a_drawing(client: httpx.Client) -> None:
    content = image_bytes("top left")
    for ink, label in (("dark", "top left"), ("light", "not top left")):
        reply = client.post(f"/api/predict?ink={ink}", content=content)
        assert (reply.json()["models"][0]["top"][0][0] == "top left") == (label == "top left")
    reply = client.post("/api/predict?ink=blue", content=content)
    assert reply.status_code == 400
    assert reply.json() == {"error": "ink must be dark or light; received: 'blue'"}
