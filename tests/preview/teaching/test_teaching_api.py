"""The server of the page that teaches, with a small backbone and a real connection."""

from __future__ import annotations

import json
import re
import socket
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

import pocketlens
from pocketlens import load_recipe, recipe_input
from pocketlens.errors import OptionError, OutputError
from pocketlens.evaluation import parity
from pocketlens.evaluation.parity import Tolerance
from pocketlens.locking import owned
from pocketlens.networks import backbones
from pocketlens.prediction import NOTHING
from pocketlens.preview import folder_names
from pocketlens.preview.server import PAGE
from pocketlens.preview.teaching import folder, learning, take, teacher
from pocketlens.preview.teaching.server import create_teaching_server, teach
from pocketlens.preview.teaching.teacher import Teacher
from preview.server import AUTHORIZATION, TOKEN, RunningServer, frame, running, wait_until
from small_backbone import Squares

COLORS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}


@pytest.fixture(scope="module", autouse=True)
def squares(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (backbones, recipe_input):
            patch.setattr(module, "find_backbone", lambda name: {"squares": Squares}[name])
        patch.setenv("POCKETLENS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("teaching")


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[RunningServer]:
    recipe = load_recipe("photos", ["network.backbone=squares"])
    teacher = Teacher(place / "toys", place / "toys-model", recipe)
    teacher.start()
    with running(
        lambda origins: create_teaching_server(teacher, origins=origins, token=TOKEN)
    ) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        finished(client)
        yield client


def picture(color: str, seed: int, file_format: str = "JPEG", **options: Any) -> bytes:
    random = np.random.default_rng(seed)
    pixels = np.clip(random.normal(COLORS[color], 30, (48, 64, 3)), 0, 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, file_format, **options)
    return file.getvalue()


def state(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api/teaching").json()
    return found


def finished(client: httpx.Client) -> dict[str, Any]:
    """The state when nothing is at work any more."""
    wait_until(lambda: state(client)["job"] is None)
    return state(client)


def record(client: httpx.Client, color: str, *, seeds: range) -> None:
    burst = client.post("/api/bursts").json()["burst"]
    for seed in seeds:
        query = {"label": color, "burst": burst}
        answer = client.post("/api/examples", params=query, content=picture(color, seed))
        assert answer.json() == {"new": True}


@pytest.fixture(scope="module")
def learned(client: httpx.Client) -> dict[str, Any]:
    """The state after two colors were recorded three times, and learned."""
    for at, color in enumerate(("red", "green")):
        assert client.post("/api/classes", params={"name": color}).json() == {"name": color}
        for burst in range(3):
            start = 1000 * at + 10 * burst
            record(client, color, seeds=range(start, start + 4))
    assert client.post("/api/learn").status_code == 202
    return finished(client)


def test_examples_become_a_recognizer(
    learned: dict[str, Any], client: httpx.Client, place: Path
) -> None:
    assert learned["error"] is None
    assert learned["current"]
    assert learned["learned"] == {"classes": ["red", "green", NOTHING]}
    sure = learned["sureness"]
    assert [one["recordings"] for one in sure["classes"]] == [3, 3]
    assert sure["whole"]["accuracy"] == 1.0
    assert sure["whole"]["low"] < 0.7  # six recordings, not 24 pictures
    answer = client.post("/api/predict", content=picture("green", 77)).json()["models"][0]
    assert (answer["name"], answer["top"][0][0]) == ("toys", "green")
    why = client.post("/api/explain", content=picture("red", 78)).json()
    assert (why["label"], why["method"]) == ("red", "parts of the image covered in turn")
    assert pocketlens.check_data(place / "toys").passed


def test_thumbnails(learned: dict[str, Any], client: httpx.Client) -> None:
    name = learned["classes"][0]["examples"][0]
    answer = client.get("/api/examples", params={"label": "red", "name": name})
    assert Image.open(BytesIO(answer.content)).size == (64, 48)
    missing = client.get("/api/examples", params={"label": "red", "name": "../x"})
    assert (missing.status_code, "any more" in missing.json()["error"]) == (400, True)


def test_changes_and_undo(learned: dict[str, Any], client: httpx.Client) -> None:
    names = learned["classes"][0]["examples"]
    chosen = json.dumps([["red", name] for name in names[:2]])
    moved = client.post("/api/examples/move", params={"to": "green"}, content=chosen)
    assert moved.status_code == 204
    now = state(client)
    assert [len(each["examples"]) for each in now["classes"]] == [10, 14]
    assert (now["current"], now["undo"]) == (False, "moved 2 examples to green")
    renamed = client.patch("/api/classes", params={"name": "red", "to": "rot"})
    assert renamed.json() == {"name": "rot"}
    chosen = json.dumps([["green", names[0]]])
    assert client.post("/api/examples/delete", content=chosen).status_code == 204
    assert client.delete("/api/classes", params={"name": "rot"}).status_code == 204
    assert [each["name"] for each in state(client)["classes"]] == ["green"]
    for _ in range(4):
        assert client.post("/api/undo").status_code == 200
    assert state(client)["current"]


BAD_REQUESTS = {
    "a text": ("/api/examples?label=red", b"not an image", "image"),
    "half a picture": ("/api/examples?label=red", picture("red", 1)[:700], "image"),
    "no class": ("/api/examples?label=cup", picture("red", 1), "no class 'cup'"),
    "no label": ("/api/examples", picture("red", 1), "no label"),
    "a strange burst": ("/api/examples?label=red&burst=../x", picture("red", 1), "burst must be"),
    "nothing chosen": ("/api/examples/delete", b"[]", "no example"),
    "no list": ("/api/examples/delete", b"{1", "list of examples"),
    "numbers": ("/api/examples/delete", b"[[1, 2]]", "list of examples"),
    "a bad name": ("/api/classes?name=a%2Fb", b"", "characters"),
    "the same name": ("/api/classes?name=RED", b"", "there is a class"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_bad_requests(learned: dict[str, Any], client: httpx.Client, case: str) -> None:
    path, content, expected = BAD_REQUESTS[case]
    answer = client.post(path, content=content)
    assert answer.status_code == 400
    assert expected in answer.json()["error"]
    assert state(client)["classes"] == learned["classes"]


def test_strangers(learned: dict[str, Any], server: RunningServer) -> None:
    with server.client(headers={}) as stranger:
        assert stranger.get("/api/teaching").status_code == 401
        assert stranger.get("/").status_code == 401
    with server.client() as client:
        other = client.post("/api/undo", headers={"Origin": "http://example.org"})
        assert other.status_code == 403
        assert client.get("/api/teaching", headers={"Host": "example.org"}).status_code == 403
        page = client.get("/")
        assert "Teach" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]


def test_a_browser_that_is_closed_while_it_records(
    learned: dict[str, Any], server: RunningServer, client: httpx.Client, place: Path
) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        head = f"POST /api/examples?label=red HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        raw.sendall(f"{head}{AUTHORIZATION}\r\nContent-Length: 5000\r\n\r\n".encode() + b"half")
    assert state(client)["classes"] == learned["classes"]
    assert not list(place.rglob("*.part"))


def test_two_pages_stay_in_step(
    learned: dict[str, Any], server: RunningServer, client: httpx.Client
) -> None:
    with server.socket("/ws/events") as one, server.socket("/ws/events") as other:
        first = [json.loads(page.recv())["revision"] for page in (one, other)]
        client.post("/api/classes", params={"name": "cup"})
        for page, before in zip((one, other), first, strict=True):
            assert json.loads(page.recv())["revision"] > before
    client.delete("/api/classes", params={"name": "cup"})
    assert learned["classes"] == state(client)["classes"]


def test_photos_and_drawings(learned: dict[str, Any], client: httpx.Client, place: Path) -> None:
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 0.0)}  # where it was taken
    photo = picture("red", 900, exif=exif)
    assert b"Exif" in photo
    client.post("/api/examples", params={"label": "red"}, content=photo)
    drawing = picture("red", 901, "PNG")
    client.post("/api/examples", params={"label": "red", "drawn": "1"}, content=drawing)
    files = sorted((place / "toys" / "red").glob("image-*"), key=lambda path: path.suffix)
    assert [path.suffix for path in files] == [".jpg", ".png"]
    assert b"Exif" not in files[0].read_bytes()
    np.testing.assert_array_equal(Image.open(files[1]), Image.open(BytesIO(drawing)))
    again = client.post("/api/examples", params={"label": "red"}, content=photo)
    assert again.json() == {"new": False}
    elsewhere = client.post("/api/examples", params={"label": "green"}, content=photo)
    assert "an example of 'red' already" in elsewhere.json()["error"]
    for path in files:
        chosen = json.dumps([["red", path.name]])
        assert client.post("/api/examples/delete", content=chosen).status_code == 204
    assert learned["classes"] == state(client)["classes"]


def test_a_photo_of_an_iphone(client: httpx.Client, place: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    heif.register_heif_opener()
    client.post("/api/classes", params={"name": "phone"})
    photo = picture("blue", 5, "HEIF")
    sent = client.post("/api/examples", params={"label": "phone"}, content=photo)
    assert sent.json() == {"new": True}
    (file,) = (place / "toys" / "phone").iterdir()
    assert Image.open(file).format == "JPEG"
    client.delete("/api/classes", params={"name": "phone"})


def test_a_new_class_while_a_page_is_live(
    learned: dict[str, Any], server: RunningServer, client: httpx.Client, place: Path
) -> None:
    with server.socket() as page:
        page.send(frame(picture("red", 50)))
        before = json.loads(page.recv())["models"][0]
        assert len(before["top"]) == len(learned["learned"]["classes"])
        client.post("/api/classes", params={"name": "blue"})
        for burst in range(2):
            record(client, "blue", seeds=range(5000 + 10 * burst, 5004 + 10 * burst))
        (place / "toys" / "blue" / "broken.jpg").write_bytes(b"no picture")
        client.get("/api/teaching", params={"read": "1"})
        client.post("/api/learn")
        now = finished(client)
        assert "1 file(s) cannot be read and are left out: broken.jpg" in now["error"]
        for number in range(3):
            page.send(frame(picture("blue", 60 + number), number))
            after = json.loads(page.recv())["models"][0]
        assert after["top"][0][0] == "blue"
        assert len(after["top"]) == 4
    client.delete("/api/classes", params={"name": "blue"})


def test_too_few_examples(place: Path) -> None:
    recipe = load_recipe("photos", ["network.backbone=squares"])
    teacher = Teacher(place / "few", place / "few-model", recipe)
    for name in ("red", "green"):
        teacher.folder.add_class(name)
    with pytest.raises(OptionError, match="at least two classes besides 'nothing'; .*: none"):
        teacher._learn()
    teacher.add("red", picture("red", 1))
    teacher.add("green", picture("green", 1))
    with pytest.raises(
        OptionError, match="add more examples of 'red': each class needs at least 2"
    ):
        teacher._learn()
    teacher.add("red", picture("red", 2))
    teacher.add("green", picture("green", 2))
    teacher._learn()  # two photos each are enough to begin with
    assert teacher.lesson is not None
    teacher.close()


def test_where_it_may_write(place: Path) -> None:
    with pytest.raises(OptionError, match="is in the data folder"):
        teach(place / "new", out=place / "new" / "model")
    with pytest.raises(OptionError, match='expected one with training.method = "features"'):
        teach(place / "new", recipe="photos-fine")
    assert not (place / "new").exists()
    with owned(place / "busy"), pytest.raises(OutputError, match="at work in"):
        _in_another_thread(lambda: teach(place / "busy"))


def _in_another_thread(work: Any) -> None:
    """Locks are of a thread; two commands are two processes."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def test_the_guide_says_what_is_so() -> None:
    text = (Path(__file__).parents[3] / "docs" / "guides" / "teach.md").read_text("utf-8")
    text = " ".join(text.split())
    assert f"{folder.MAX_CLASSES} classes and {folder.MAX_EXAMPLES:,} examples" in text
    assert f"at most {teacher.STORED_SIDE:,} pixels" in text
    assert f"up to {take.CHECKED} of your examples" in text
    assert f"at least {['no', 'one', 'two'][learning.LEAST]} examples" in text
    assert f"no `{' '.join(folder_names.INVALID_CHARACTERS)}`" in text
    page = (PAGE / "teach" / "index.html").read_text("utf-8")
    buttons = [*re.findall(r"<button[^>]*>([^<]+)</button>", page), "Hold to record", "Add photos"]
    buttons += ["Add the drawing", "Why?"]
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", text))
    assert named <= set(buttons), named


@pytest.mark.slow
def test_everything_is_taken_along(
    learned: dict[str, Any],
    client: httpx.Client,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert learned["written"] == []
    client.post("/api/take")
    now = finished(client)
    assert now["error"] is None
    assert [each["kind"] for each in now["written"]] == ["coreml", "onnx", "app", "web"]
    content = client.get("/api/written/Toys.mlpackage.zip").content
    with zipfile.ZipFile(BytesIO(content)) as archive:
        archive.extractall(place / "downloaded")
    model = pocketlens.load(place / "downloaded" / "Toys.mlpackage")
    assert model.predict(Image.open(BytesIO(picture("green", 99)))).label == "green"
    assert client.get("/api/written/Toys.onnx").content[:1] == b"\x08"
    assert pocketlens.check_app(place / "toys-model" / "app") == []
    assert pocketlens.check_site(place / "toys-model" / "web") == []
    assert client.get("/api/written/..%2Ftoys.zip").status_code in (400, 404)

    # Again, over what is there, with limits that float16 cannot keep.
    limits = iter((Tolerance(mean_difference=0.0), Tolerance()))

    def strict(*predictors: Any) -> parity.Parity:
        return verify(*predictors, tolerance=next(limits))

    verify = parity.verify
    monkeypatch.setattr(parity, "verify", strict)
    client.post("/api/take")
    now = finished(client)
    assert now["error"] is None
    assert "because float16 is too coarse" in now["written"][0]["checked"]
