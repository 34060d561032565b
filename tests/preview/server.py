"""What the tests of the preview share: a model whose answers are known, pictures, a real server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from numpy.typing import NDArray
from PIL import Image
from websockets.sync.client import ClientConnection, connect

from pocketlens.coreml.file.proto import generated
from pocketlens.image import InputSpec
from pocketlens.prediction import NOTHING, Predictor
from pocketlens.preview.server import _listening, configure, create_server

PATIENCE = 30.0
"""Seconds after which something that does not answer counts as hung."""

QUARTERS = ("top left", "top right", "bottom left", "bottom right")
CLASSES = (*QUARTERS, NOTHING)
SIDE = 16


def quarters_file(path: Path, *, idle: int = 0) -> Path:
    """A Core ML file that names the quarter of a gray picture that is bright.

    The means of the quarters, in [0, 1], times 20, and 8 for `nothing`, are made probabilities.
    `idle` is how many classes there are besides, `idle 1` and so on, that it hardly ever names.
    """
    spec = generated("Model_pb2").Model()
    spec.specificationVersion = 5
    image = spec.description.input.add(name="image").type.imageType
    image.height = image.width = SIDE
    image.colorSpace = 10
    spec.description.output.add(name="label").type.stringType.SetInParent()
    spec.description.output.add(name="scores").type.dictionaryType.stringKeyType.SetInParent()
    spec.description.predictedFeatureName = "label"
    spec.description.predictedProbabilitiesName = "scores"
    net = spec.neuralNetworkClassifier
    net.arrayInputShapeMapping = net.imageInputShapeMapping = 1
    net.stringClassLabels.vector.extend(CLASSES)
    net.stringClassLabels.vector.extend(f"idle {number + 1}" for number in range(idle))
    net.preprocessing.add(featureName="image").scaler.channelScale = 1 / 255
    pooling = net.layers.add(name="means", input=["image"], output=["means"]).pooling
    pooling.type = 1
    pooling.kernelSize.extend([SIDE // 2] * 2)
    pooling.stride.extend([SIDE // 2] * 2)
    pooling.valid.SetInParent()
    dense = net.layers.add(name="dense", input=["means"], output=["logits"]).innerProduct
    dense.inputChannels, dense.outputChannels, dense.hasBias = 4, 5 + idle, True
    dense.weights.floatValue.extend((20 * np.eye(5 + idle, 4)).reshape(-1).tolist())
    dense.bias.floatValue.extend([0, 0, 0, 0, 8] + [-8] * idle)
    net.layers.add(name="softmax", input=["logits"], output=["scores"]).softmax.SetInParent()
    path.write_bytes(spec.SerializeToString())
    return path


def expected(array: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The probabilities of `quarters_file`, by its definition."""
    half = SIDE // 2
    means = array.reshape(2, half, 2, half).mean((1, 3)).reshape(-1) / 255
    scores = np.exp([*20 * means, 8.0])
    found: NDArray[np.float64] = scores / scores.sum()
    return found


def means_file(path: Path) -> Path:
    """A Core ML file that takes a gray picture and is no classifier: its output is an array."""
    spec = generated("Model_pb2").Model()
    spec.specificationVersion = 5
    image = spec.description.input.add(name="image").type.imageType
    image.height = image.width = SIDE
    image.colorSpace = 10
    array = spec.description.output.add(name="mean").type.multiArrayType
    array.dataType = 65568
    array.shape.extend([1, 1, 1, 1])
    net = spec.neuralNetwork
    net.arrayInputShapeMapping = net.imageInputShapeMapping = 1
    pooling = net.layers.add(name="mean", input=["image"], output=["mean"]).pooling
    pooling.type = 1
    pooling.globalPooling = True
    path.write_bytes(spec.SerializeToString())
    return path


class Quarters(Predictor):
    """The same without a file, for tests of what happens around a model.

    Args:
        before: Called before each answer: to wait, or to fail.
        after: What to make of the probabilities.
    """

    classes = CLASSES
    input_spec = InputSpec(SIDE, SIDE)

    def __init__(
        self,
        before: Callable[[], None] = lambda: None,
        after: Callable[[NDArray[np.float32]], NDArray[np.float32]] = lambda found: found,
    ) -> None:
        self.before = before
        self.after = after

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.before()
        return self.after(np.float32([expected(image[..., 0]) for image in images]))


class Gate:
    """Something that a test holds up: `Quarters(before=gate)`."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.waiting = threading.Semaphore(0)

    def __call__(self) -> None:
        self.waiting.release()
        assert self.open.wait(PATIENCE)

    def reached(self) -> None:
        """Wait until one more picture has come to the gate."""
        assert self.waiting.acquire(timeout=PATIENCE)

    def forget(self) -> None:
        """Of what has come so far."""
        while self.waiting.acquire(blocking=False):
            pass


def quarter(label: str, level: int = 255) -> NDArray[np.uint8]:
    """A picture that is bright in one quarter; in none for `nothing`."""
    array = np.zeros((SIDE, SIDE), np.uint8)
    if label != NOTHING:
        down, right = divmod(QUARTERS.index(label), 2)
        half = SIDE // 2
        array[down * half : (down + 1) * half, right * half : (right + 1) * half] = level
    return array


def picture(array: NDArray[np.uint8] | str, kind: str = "PNG", **options: Any) -> bytes:
    """A picture file's contents, of an array or of a quarter by its name."""
    file = BytesIO()
    pixels = quarter(array) if isinstance(array, str) else array
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def frame(content: bytes, number: int = 1, flags: int = 0) -> bytes:
    """A message to `/ws/live`."""
    return bytes([flags]) + number.to_bytes(4, "big") + content


@dataclass(frozen=True)
class Address:
    """A running server."""

    port: int
    server: uvicorn.Server

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.http, timeout=PATIENCE, trust_env=False, **options)

    def socket(self, path: str = "/ws/live", **options: Any) -> ClientConnection:
        given = {"proxy": None, "open_timeout": PATIENCE, "close_timeout": PATIENCE, **options}
        return connect(f"ws://127.0.0.1:{self.port}{path}", **given)


def raw_socket(here: Address, path: str = "/ws/live") -> socket.socket:
    """A WebSocket of bytes, that takes in little before it is read."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(PATIENCE)
    raw.connect(("127.0.0.1", here.port))
    raw.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{here.port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):  # what comes before the answer is lost
        answer += raw.recv(1)
    assert b" 101 " in answer
    return raw


def masked(content: bytes, *, text: bool = False) -> bytes:
    """A message as it goes over a `raw_socket`, of at most 64 KB."""
    head = bytes([0x81 if text else 0x82, 0x80 | 126])
    return head + len(content).to_bytes(2, "big") + bytes(4) + content


def hang_up(page: ClientConnection) -> None:
    """Leave without a word, as when the network is gone."""
    page.socket.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(models: Mapping[str, Predictor] | Predictor, **options: Any) -> Iterator[Address]:
    """A real server on a free port of this computer, in a thread."""
    named = {"Quarters": models} if isinstance(models, Predictor) else models
    with _listening("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        origins = [f"http://127.0.0.1:{port}", f"http://localhost:{port}"]
        server = uvicorn.Server(configure(create_server(named, origins=origins, **options)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            eventually(lambda: server.started or not thread.is_alive())
            assert server.started
            yield Address(port, server)
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the server did not end"


def eventually(holds: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
