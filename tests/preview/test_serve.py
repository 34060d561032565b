"""The command as a process: start, stop, invalid input, many connections."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from command_line import error_of, output_of
from image_bombs import jpeg_with_scans
from pocketlens.errors import FeatureError, MissingExtraError, OptionError
from pocketlens.preview import serve_preview, server
from pocketlens.preview.accepting import MAX_CONNECTIONS
from preview.server import (
    TIMEOUT,
    Quarters,
    disconnect,
    frame,
    image_bytes,
    means_file,
    quarters_file,
    wait_until,
)

if sys.platform == "win32":
    pytest.skip("needs POSIX signals", allow_module_level=True)

COMMAND = [sys.executable, "-c", "from pocketlens.cli import main; main()"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return quarters_file(tmp_path / "Quarters.mlmodel")


class Process:
    """A running `pocketlens preview`."""

    def __init__(self, *words: object) -> None:
        arguments = ["preview", *map(str, words), "--no-open", "--port", "0", "--json"]
        self.child = subprocess.Popen(
            [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        assert line, self.child.communicate()[1]
        self.output = json.loads(line)
        self.address: str = self.output["origin"]
        self.token: str = self.output["token"]
        self.headers = {"Authorization": f"Bearer {self.token}"}

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.address, headers=self.headers, timeout=TIMEOUT, trust_env=False
        )

    def socket(self, path: str = "/ws/live") -> ClientConnection:
        address = self.address.replace("http", "ws") + path
        return connect(
            address,
            proxy=None,
            additional_headers=self.headers,
            open_timeout=TIMEOUT,
            close_timeout=TIMEOUT,
        )

    def classifies(self) -> bool:
        with self.socket() as page:
            page.send(frame(image_bytes("top left"), flags=1))
            return bool(json.loads(page.recv(TIMEOUT))["models"][0]["shown"] == "top left")

    def stop(self, signal_number: int = signal.SIGINT) -> tuple[int, str]:
        """Send a signal; returns the exit status and the error output."""
        self.child.send_signal(signal_number)
        _, err = self.child.communicate(timeout=TIMEOUT)
        return self.child.returncode, err

    def megabytes(self) -> float:
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def process(*words: object) -> Iterator[Process]:
    started = Process(*words)
    try:
        yield started
    finally:
        if started.child.poll() is None:
            started.child.kill()
        started.child.communicate()


def test_prints_its_address_and_serves(file: Path) -> None:
    with process(file) as preview:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", preview.address)
        assert preview.output["models"] == ["Quarters"]
        with preview.client() as client:
            assert client.get("/").status_code == 200
            assert client.get("/api/model").json()["corrections"] is None
        assert preview.classifies()
        assert preview.stop() == (130, "pocketlens: interrupted\n")


def test_output_without_json(file: Path) -> None:
    words = [*COMMAND, "preview", str(file), "--no-open", "--port", "0"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    line = child.stdout.readline()
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=TIMEOUT)
    address = r"http://127\.0\.0\.1:\d+/\?token=[\w-]{22}"
    assert re.fullmatch(rf"{address}   \(press Ctrl-C to stop\)\n", line)


def test_two_models(file: Path, tmp_path: Path) -> None:
    other = quarters_file(tmp_path / "Other.mlmodel")
    with process(file, other, "--collect", tmp_path / "corrections") as preview:
        assert preview.output["models"] == ["Quarters", "Other"]
        with preview.client() as client:
            results = client.post("/api/predict", content=image_bytes("top left")).json()["models"]
            added = client.post("/api/corrections?label=nothing", content=image_bytes("top left"))
        assert [model["name"] for model in results] == ["Quarters", "Other"]
        assert (tmp_path / "corrections" / "nothing" / f"{added.json()['name']}.png").is_file()


def test_two_models_with_the_same_name(file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = quarters_file(tmp_path / "other" / "Quarters.mlmodel")
    with process(file, other) as preview:
        assert preview.output["models"] == [f"{tmp_path.name}/Quarters", "other/Quarters"]


ACTIVITIES = [
    "idle sockets",
    "frames in progress",
    "half an upload",
    "client that does not read",
    "open bridge",
]


@pytest.mark.parametrize("activity", ACTIVITIES)
def test_ctrl_c_stops_it(file: Path, activity: str) -> None:
    with process(file) as preview, ExitStack() as stack:
        port = int(preview.address.rpartition(":")[2])
        with preview.client() as client:
            code = client.post("/api/duels").json()["code"]
        paths = ["/ws/live"] * 5 + [f"/ws/duel/{code}"] * 2
        pages = [stack.enter_context(preview.socket(path)) for path in paths]
        raw = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        head = f"Authorization: Bearer {preview.token}"
        if activity == "frames in progress":
            for page in pages[:5]:
                for number in range(200):
                    page.send(frame(image_bytes("top left"), number))
        elif activity == "half an upload":
            raw.sendall(
                f"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                f"{head}\r\nContent-Length: 1000\r\n\r\nhalf".encode()
            )
            time.sleep(0.2)
        elif activity == "client that does not read":
            request = f"GET /main.js HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{head}\r\n\r\n"
            raw.sendall(request.encode() * 15)
        elif activity == "open bridge":
            path = f"/bridge/{'0' * 32}?to=/ws/live"
            request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{head}\r\n\r\n"
            raw.sendall(request.encode())
            assert b" 200 " in raw.recv(1000)
        start = time.monotonic()
        status, err = preview.stop()
        seconds = time.monotonic() - start
        if activity == "half an upload":
            response = raw.recv(10_000)
            assert response.startswith(b"HTTP/1.1 503 ")
            assert response.endswith(b'{"error":"the preview has been stopped"}')
        raw.close()
        for page in pages:
            with pytest.raises(ConnectionClosed):
                while True:
                    page.recv(TIMEOUT)
    assert status == 130
    assert "Traceback" not in err, err
    assert err.endswith("pocketlens: interrupted\n")
    assert seconds < TIMEOUT


@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_waits_for_no_decoder(file: Path, tmp_path: Path, times: int) -> None:
    """While slow images are decoded, for answers and for corrections, and others wait for it."""
    content = jpeg_with_scans(3000, 2000, 95)
    with process(file, "--collect", tmp_path / "corrections") as preview, ExitStack() as stack:
        port = int(preview.address.rpartition(":")[2])
        head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {preview.token}\r\n"
        for path in ["/api/predict", "/api/corrections?label=nothing"] * 3:
            raw = stack.enter_context(socket.create_connection(("127.0.0.1", port), TIMEOUT))
            begin = f"POST {path} HTTP/1.1\r\n{head}Content-Length: {len(content)}\r\n\r\n"
            raw.sendall(begin.encode() + content)
        wait_until(lambda: children(preview.child.pid))  # the decoders run
        decoders = children(preview.child.pid)
        for _ in range(times - 1):
            preview.child.send_signal(signal.SIGINT)
            time.sleep(0.05)
        status, err = preview.stop()
    assert status == 130
    assert "Traceback" not in err, err
    assert err.endswith("pocketlens: interrupted\n")
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in decoders))


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    if not found.exists():
        pytest.skip("needs /proc of Linux")
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(number) for each in threads for number in each.read_text().split()]


SLOW_MODEL = """
import time
from pocketlens import coreml
from pocketlens.cli import main
from preview.server import Quarters
waiting = []
slow = Quarters(before=lambda: time.sleep(1000) if waiting else waiting.append(1))
coreml.load = lambda *_, **__: slow
main()
"""


def test_ctrl_c_waits_for_no_model(file: Path) -> None:
    """A model that runs for minutes; the first run is the one at the start."""
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW_MODEL, "preview", file, "--no-open", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.stdout is not None
    told = json.loads(child.stdout.readline())
    headers = {"Authorization": f"Bearer {told['token']}"}
    with httpx.Client(base_url=told["origin"], headers=headers, trust_env=False) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.post("/api/predict", content=image_bytes("top left"), timeout=0.5)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=TIMEOUT)
    assert child.returncode == 130
    assert "Traceback" not in err, err
    assert err.endswith("pocketlens: interrupted\n")


def test_sigterm_stops_it(file: Path) -> None:
    with process(file) as preview:
        assert preview.classifies()
        status, err = preview.stop(signal.SIGTERM)
    assert status == -signal.SIGTERM
    assert err == ""


def test_port_in_use(file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = f"port {port} on 127.0.0.1 cannot be used (Address already in use)"
        error = error_of("preview", file, "--no-open", "--port", port)
    assert message in error
    assert "choose another with --port, or any free port with --port 0" in error


def test_port_is_free_after_the_stop(file: Path) -> None:
    with process(file) as preview:
        port = preview.address.rpartition(":")[2]
        assert preview.classifies()
        preview.stop()
    words = [*COMMAND, "preview", str(file), "--no-open", "--port", port]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert f"http://127.0.0.1:{port}/?token=" in child.stdout.readline()
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=TIMEOUT)


def test_invalid_input(file: Path, tmp_path: Path) -> None:
    means = means_file(tmp_path / "Means.mlmodel")
    assert "is not a classifier: it has no classes" in error_of("preview", means, "--no-open")
    (tmp_path / "junk.mlmodel").write_bytes(b"junk")
    assert "junk.mlmodel" in error_of("preview", tmp_path / "junk.mlmodel", "--no-open")
    assert "does not exist" in error_of("preview", tmp_path / "nowhere.mlpackage", "--no-open")
    twice = f"expected two different Core ML models; received {file} twice"
    assert twice in error_of("preview", file, file, "--no-open")
    assert twice in error_of("preview", file, file.parent / "." / ".." / tmp_path.name / file.name)
    (tmp_path / "link.mlmodel").symlink_to(file)
    assert twice in error_of("preview", file, tmp_path / "link.mlmodel", "--no-open")
    three = [quarters_file(tmp_path / f"{n}.mlmodel") for n in range(3)]
    assert "expected one or two Core ML models; received: 3" in error_of(
        "preview", *three, "--no-open"
    )
    assert "is a file; expected a folder for the corrections" in error_of(
        "preview", file, "--no-open", "--port", "0", "--collect", file
    )


def test_help() -> None:
    assert "pocketlens preview Digits.mlpackage --lan" in output_of("preview", "--help")


def test_errors_of_serve(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="the preview needs at least one Core ML model"):
        serve_preview({})
    from pocketlens.coreml import load

    with pytest.raises(FeatureError, match="is not a classifier"):
        serve_preview({"Means": load(means_file(file.with_name("Means.mlmodel")))})
    monkeypatch.setattr(server, "REQUIRED_PACKAGES", ("uvicorn", "no_such_package_at_all"))
    with pytest.raises(
        MissingExtraError, match=r"'no_such_package_at_all', which is not installed"
    ):
        serve_preview({"Quarters": Quarters()})


def test_thousand_connections(file: Path) -> None:
    """With and without a closing handshake, and without any request."""
    with process(file) as preview:
        port = int(preview.address.rpartition(":")[2])
        for number in range(1000):
            if number % 2:
                socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT).close()
                continue
            with preview.socket() as page:
                if number % 4:
                    page.send(frame(image_bytes("top left")))
                disconnect(page)
        # More idle connections than the limit: a page gets in, and the oldest one has to go.
        silent = [
            socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
            for _ in range(MAX_CONNECTIONS + 20)
        ]
        with preview.client() as client:
            assert client.get("/api/model").status_code == 200
        assert silent[0].recv(1) == b""
        for each in silent:
            each.close()
        assert preview.classifies()
        status, err = preview.stop()
    assert status == 130
    assert "Traceback" not in err, err


def test_many_invalid_images(file: Path) -> None:
    """Each one is answered or counted as skipped, and another page still gets answers."""
    with (
        process(file) as preview,
        preview.socket() as flooding_page,
        preview.socket() as normal_page,
    ):
        for number in range(1000):
            flooding_page.send(frame(os.urandom(400), number))
            if number % 100 == 0:
                normal_page.send(frame(image_bytes("top left"), number, 1))
                answer = json.loads(normal_page.recv(TIMEOUT))
                assert answer["models"][0]["shown"] == "top left"
        answered = skipped = 0
        while answered + skipped < 1000:
            answer = json.loads(flooding_page.recv(TIMEOUT))
            assert answer["error"].startswith("the image ")
            answered += 1
            skipped += answer["skipped"]
        assert answer["id"] == 999
        assert preview.classifies()
        assert preview.stop() == (130, "pocketlens: interrupted\n")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc of Linux")
def test_memory_does_not_grow(file: Path, tmp_path: Path) -> None:
    with (
        process(file, "--collect", tmp_path / "corrections") as preview,
        preview.client() as client,
    ):
        photo = image_bytes("top left", "JPEG")

        def use(times: int) -> None:
            for number in range(times):
                with preview.socket() as page:
                    for content in (image_bytes("top left"), photo, b"no image"):
                        page.send(frame(content, number, 2))
                        page.recv(TIMEOUT)
                assert client.post("/api/predict", content=photo).status_code == 200
                assert client.post("/api/predict", content=b"no image").status_code == 400
                client.post("/api/corrections?label=nothing", content=photo)
                code = client.post("/api/duels").json()["code"]
                with preview.socket(f"/ws/duel/{code}") as page:
                    page.recv(TIMEOUT)

        use(15)
        before = preview.megabytes()
        use(30)
        assert preview.megabytes() - before < 8
