"""The command as a process of its own: start, end, bad input, and a thousand visitors."""

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

from asking import bad, fine
from pocketlens.errors import FeatureError, MissingExtraError, OptionError
from pocketlens.preview import serve
from pocketlens.preview import server as serving_module
from pocketlens.preview.server import MAX_CONNECTIONS
from preview.server import (
    PATIENCE,
    Quarters,
    eventually,
    frame,
    hang_up,
    means_file,
    picture,
    quarters_file,
)

if sys.platform == "win32":
    pytest.skip("signals as POSIX has them", allow_module_level=True)

COMMAND = [sys.executable, "-c", "from pocketlens.cli import main; main()"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return quarters_file(tmp_path / "Quarters.mlmodel")


class Process:
    """`pocketlens preview`, and where it serves."""

    def __init__(self, *words: object) -> None:
        given = ["preview", *map(str, words), "--no-open", "--port", "0", "--json"]
        self.child = subprocess.Popen(
            [*COMMAND, *given], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        assert line, self.child.communicate()[1]
        self.said = json.loads(line)
        self.address: str = self.said["address"]

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=PATIENCE, trust_env=False)

    def socket(self, path: str = "/ws/live") -> ClientConnection:
        address = self.address.replace("http", "ws") + path
        return connect(address, proxy=None, open_timeout=PATIENCE, close_timeout=PATIENCE)

    def answers(self) -> bool:
        with self.socket() as page:
            page.send(frame(picture("top left"), flags=1))
            return bool(json.loads(page.recv(PATIENCE))["models"][0]["shown"] == "top left")

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Its exit status, and what it said of it."""
        self.child.send_signal(number)
        _, err = self.child.communicate(timeout=PATIENCE)
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


def test_it_says_where_and_serves_there(file: Path) -> None:
    with process(file) as preview:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", preview.address)
        assert preview.said["models"] == ["Quarters"]
        with preview.client() as client:
            assert client.get("/").status_code == 200
            assert client.get("/api/model").json()["corrections"] is None
        assert preview.answers()
        assert preview.end() == (130, "pocketlens: interrupted\n")


def test_for_people_it_prints_a_line(file: Path) -> None:
    words = ["preview", str(file), "--no-open", "--port", "0"]
    code = "from pocketlens.cli import main; main()"
    child = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    line = child.stdout.readline()
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=PATIENCE)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+   \(Ctrl-C ends it\)\n", line)


def test_two_files_side_by_side(file: Path, tmp_path: Path) -> None:
    other = quarters_file(tmp_path / "Other.mlmodel")
    with process(file, other, "--collect", tmp_path / "kept") as preview:
        assert preview.said["models"] == ["Quarters", "Other"]
        with preview.client() as client:
            found = client.post("/api/predict", content=picture("top left")).json()["models"]
            kept = client.post("/api/corrections?label=nothing", content=picture("top left"))
        assert [model["name"] for model in found] == ["Quarters", "Other"]
        assert (tmp_path / "kept" / "nothing" / f"{kept.json()['name']}.png").is_file()


def test_two_files_of_one_name_are_told_apart(file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = quarters_file(tmp_path / "other" / "Quarters.mlmodel")
    with process(file, other) as preview:
        assert preview.said["models"] == [str(file), str(other)]


BUSY = [
    "idle sockets",
    "frames on their way",
    "half an upload",
    "a page that does not read",
    "a page on the bridge",
]


@pytest.mark.parametrize("busy", BUSY)
def test_ctrl_c_ends_it_whatever_goes_on(file: Path, busy: str) -> None:
    with process(file) as preview, ExitStack() as opened:
        port = int(preview.address.rpartition(":")[2])
        with preview.client() as client:
            code = client.post("/api/duels").json()["code"]
        paths = ["/ws/live"] * 5 + [f"/ws/duel/{code}"] * 2
        pages = [opened.enter_context(preview.socket(path)) for path in paths]
        raw = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        if busy == "frames on their way":
            for page in pages[:5]:
                for number in range(200):
                    page.send(frame(picture("top left"), number))
        elif busy == "half an upload":
            raw.sendall(
                f"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                "Content-Length: 1000\r\n\r\nhalf".encode()
            )
            time.sleep(0.2)
        elif busy == "a page that does not read":
            raw.sendall(f"GET /main.js HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode() * 500)
        elif busy == "a page on the bridge":
            path = f"/bridge/{'0' * 32}?to=/ws/live"
            raw.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            assert b" 200 " in raw.recv(1000)
        began = time.monotonic()
        status, err = preview.end()
        seconds = time.monotonic() - began
        raw.close()
        for page in pages:
            with pytest.raises(ConnectionClosed):
                while True:
                    page.recv(PATIENCE)
    assert status == 130
    assert "Traceback" not in err
    assert err.endswith("pocketlens: interrupted\n")
    assert seconds < PATIENCE


def test_it_can_be_terminated(file: Path) -> None:
    with process(file) as preview:
        assert preview.answers()
        status, err = preview.end(signal.SIGTERM)
    assert status == -signal.SIGTERM
    assert err == ""


def test_a_port_that_is_taken(file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = f"port {port} of 127.0.0.1 cannot be used (Address already in use)"
        told = bad("preview", file, "--no-open", "--port", port)
    assert message in told
    assert "choose another with --port; 0 takes any that is free" in told


def test_a_port_is_free_again_at_once(file: Path) -> None:
    with process(file) as preview:
        port = preview.address.rpartition(":")[2]
        assert preview.answers()
        preview.end()
    words = [*COMMAND, "preview", str(file), "--no-open", "--port", port]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert f"http://127.0.0.1:{port} " in child.stdout.readline()
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=PATIENCE)


def test_bad_input(file: Path, tmp_path: Path) -> None:
    means = means_file(tmp_path / "Means.mlmodel")
    assert "is not a classifier: it has no classes" in bad("preview", means, "--no-open")
    (tmp_path / "junk.mlmodel").write_bytes(b"junk")
    assert "junk.mlmodel" in bad("preview", tmp_path / "junk.mlmodel", "--no-open")
    assert "does not exist" in bad("preview", tmp_path / "nowhere.mlpackage", "--no-open")
    twice = "preview compares two different files; received the same twice"
    assert twice in bad("preview", file, file, "--no-open")
    assert twice in bad("preview", file, file.parent / "." / ".." / tmp_path.name / file.name)
    (tmp_path / "link.mlmodel").symlink_to(file)
    assert twice in bad("preview", file, tmp_path / "link.mlmodel", "--no-open")
    three = [quarters_file(tmp_path / f"{n}.mlmodel") for n in range(3)]
    assert "one Core ML file or two; received: 3" in bad("preview", *three, "--no-open")
    assert "is a file; corrections are kept in a folder" in bad(
        "preview", file, "--no-open", "--port", "0", "--collect", file
    )


def test_help() -> None:
    assert "pocketlens preview Digits.mlpackage --lan" in fine("preview", "--help")


def test_serve_says_what_is_wrong(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="at least one Core ML file"):
        serve({})
    from pocketlens.coreml import load

    with pytest.raises(FeatureError, match="is not a classifier"):
        serve({"Means": load(means_file(file.with_name("Means.mlmodel")))})
    monkeypatch.setattr(serving_module, "NEEDED", ("uvicorn", "no_such_package_at_all"))
    with pytest.raises(MissingExtraError, match=r"pip install 'pocketlens\[preview\]'"):
        serve({"Quarters": Quarters()})


def test_a_thousand_connects(file: Path) -> None:
    """Polite ones, rude ones and ones that never say what they want."""
    with process(file) as preview:
        port = int(preview.address.rpartition(":")[2])
        for number in range(1000):
            if number % 2:
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
                continue
            with preview.socket() as page:
                if number % 4:
                    page.send(frame(picture("top left")))
                hang_up(page)
        # And more at once than are served: the others are told so, and it recovers.
        silent = [
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            for _ in range(MAX_CONNECTIONS + 20)
        ]
        with preview.client() as client:
            eventually(lambda: client.get("/api/model").status_code == 503)
            for each in silent:
                each.close()
            eventually(lambda: client.get("/api/model").status_code == 200)
        assert preview.answers()
        status, err = preview.end()
    assert status == 130
    assert "Traceback" not in err


def test_a_flood_of_garbage(file: Path) -> None:
    """Nothing of it is answered with silence, and another page is served meanwhile."""
    with process(file) as preview, preview.socket() as bad_page, preview.socket() as good_page:
        for number in range(1000):
            bad_page.send(frame(os.urandom(400), number))
            if number % 100 == 0:
                good_page.send(frame(picture("top left"), number, 1))
                answer = json.loads(good_page.recv(PATIENCE))
                assert answer["models"][0]["shown"] == "top left"
        answered = skipped = 0
        while answered + skipped < 1000:
            answer = json.loads(bad_page.recv(PATIENCE))
            assert answer["error"].startswith("the picture ")
            answered += 1
            skipped += answer["skipped"]
        assert answer["id"] == 999
        assert preview.answers()
        assert preview.end() == (130, "pocketlens: interrupted\n")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory as Linux tells it")
def test_memory_is_flat(file: Path, tmp_path: Path) -> None:
    with process(file, "--collect", tmp_path / "kept") as preview, preview.client() as client:
        photo = picture("top left", "JPEG")

        def use(times: int) -> None:
            for number in range(times):
                with preview.socket() as page:
                    for kind in (picture("top left"), photo, b"no picture"):
                        page.send(frame(kind, number, 2))
                        page.recv(PATIENCE)
                assert client.post("/api/predict", content=photo).status_code == 200
                assert client.post("/api/predict", content=b"no picture").status_code == 400
                client.post("/api/corrections?label=nothing", content=photo)
                code = client.post("/api/duels").json()["code"]
                with preview.socket(f"/ws/duel/{code}") as page:
                    page.recv(PATIENCE)

        use(15)
        before = preview.megabytes()
        use(30)
        assert preview.megabytes() - before < 8
