"""Shared by the tests of the preview: a model with known outputs, images, a real server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from pocketlens.image import INPUT_SPEC_KEY, Crop, Ink, InputSpec
from pocketlens.prediction import NOTHING, Predictor
from pocketlens.preview.accepting import PreviewServer
from pocketlens.preview.guard import Guard
from pocketlens.preview.server import create_server, listening_socket, uvicorn_config

TIMEOUT = 30.0
"""Seconds to wait for anything before the test fails."""

TOKEN = "a-secret-of-22-letters"
"""The token of the servers in these tests."""

AUTHORIZATION = f"Authorization: Bearer {TOKEN}"
BEARER = {"Authorization": f"Bearer {TOKEN}"}

QUARTERS = ("top left", "top right", "bottom left", "bottom right")
CLASSES = (*QUARTERS, NOTHING)
SIDE = 16


def quarters_file(
    path: Path,
    *,
    idle: int = 0,
    names: Sequence[str] = CLASSES,
    crop: Crop = "center-crop",
    ink: Ink = "dark",
) -> Path:
    """Write a Core ML classifier that recognizes which quarter of a gray image is bright.

    The logits are 20 times the mean of each quarter, in [0, 1], and 8 for `nothing`.

    Args:
        path: Where to write the model.
        idle: The number of further classes (`idle 1`, ...), which have a logit of -8.
        names: The classes of the four quarters and of an image without a bright quarter.
        crop: How images are cropped.
        ink: The lines of drawings.
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
    net.stringClassLabels.vector.extend(names)
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
    input_spec = InputSpec(SIDE, SIDE, crop=crop, ink=ink)
    spec.description.metadata.userDefined[INPUT_SPEC_KEY] = input_spec.to_json()
    path.write_bytes(spec.SerializeToString())
    return path


def expected(array: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The probabilities of `quarters_file` for an image, computed with NumPy."""
    half = SIDE // 2
    means = array.reshape(2, half, 2, half).mean((1, 3)).reshape(-1) / 255
    scores = np.exp([*20 * means, 8.0])
    probabilities: NDArray[np.float64] = scores / scores.sum()
    return probabilities


def means_file(path: Path) -> Path:
    """Write a Core ML model for a gray image that is not a classifier: its output is an array."""
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
    """The model of `quarters_file` in Python.

    Args:
        before: Called before each prediction, for example to wait or to fail.
        after: Changes the probabilities `(N, K)`.
    """

    classes: tuple[str, ...] = CLASSES
    input_spec = InputSpec(SIDE, SIDE)

    def __init__(
        self,
        before: Callable[[], None] = lambda: None,
        after: Callable[[NDArray[np.float32]], NDArray[np.float32]] = lambda rows: rows,
    ) -> None:
        self.before = before
        self.after = after

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.before()
        rows = [expected(image[..., 0]) for image in images]
        return self.after(np.array(rows, np.float32))


class Gate:
    """Lets a test hold up predictions: `Quarters(before=gate)`."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.images = threading.Semaphore(0)
        """Counts the images that have reached the gate."""

    def __call__(self) -> None:
        self.images.release()
        assert self.open.wait(TIMEOUT)

    def wait_for_image(self) -> None:
        """Wait until one more image has reached the gate."""
        assert self.images.acquire(timeout=TIMEOUT)

    def reset(self) -> None:
        """Forget the images that have reached the gate so far."""
        while self.images.acquire(blocking=False):
            pass


def quarter(label: str, level: int = 255) -> NDArray[np.uint8]:
    """An image `(SIDE, SIDE)` that is bright in one quarter; black for `nothing`."""
    array = np.zeros((SIDE, SIDE), np.uint8)
    if label != NOTHING:
        down, right = divmod(QUARTERS.index(label), 2)
        half = SIDE // 2
        array[down * half : (down + 1) * half, right * half : (right + 1) * half] = level
    return array


def image_bytes(source: NDArray[np.uint8] | str, file_format: str = "PNG", **options: Any) -> bytes:
    """The content of an image file with an array, or with a quarter by its label."""
    file = BytesIO()
    pixels = quarter(source) if isinstance(source, str) else source
    Image.fromarray(pixels).save(file, file_format, **options)
    return file.getvalue()


def frame(content: bytes, number: int = 1, flags: int = 0) -> bytes:
    """A message to `/ws/live`."""
    return bytes([flags]) + number.to_bytes(4, "big") + content


@dataclass(frozen=True)
class RunningServer:
    """A running server."""

    port: int
    server: uvicorn.Server

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> httpx.Client:
        options = {"headers": BEARER, **options}
        return httpx.Client(base_url=self.http, timeout=TIMEOUT, trust_env=False, **options)

    def socket(self, path: str = "/ws/live", **options: Any) -> ClientConnection:
        options = {"proxy": None, "open_timeout": TIMEOUT, "close_timeout": TIMEOUT, **options}
        options["additional_headers"] = {**BEARER, **options.get("additional_headers", {})}
        page: ClientConnection = connect(f"ws://127.0.0.1:{self.port}{path}", **options)
        return page


def raw_socket(server: RunningServer, path: str = "/ws/live") -> socket.socket:
    """A WebSocket on a plain TCP socket with a small receive buffer."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(TIMEOUT)
    raw.connect(("127.0.0.1", server.port))
    raw.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n{AUTHORIZATION}\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    answer = b""
    while not answer.endswith(
        b"\r\n\r\n"
    ):  # one byte at a time, to read no byte of the first message
        answer += raw.recv(1)
    assert b" 101 " in answer
    return raw


def masked_message(content: bytes, *, text: bool = False) -> bytes:
    """A WebSocket message for `raw_socket`, of at most 64 KB."""
    head = bytes([0x81 if text else 0x82, 0x80 | 126])
    return head + len(content).to_bytes(2, "big") + bytes(4) + content


def disconnect(page: ClientConnection) -> None:
    """Cut the connection without a closing handshake, as when the network is lost."""
    page.socket.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(
    models: Mapping[str, Predictor] | Predictor, *, https: bool = False, **options: Any
) -> Iterator[RunningServer]:
    """Run a real preview on a free port of this computer, in a thread."""
    by_name = {"Quarters": models} if isinstance(models, Predictor) else models

    def create(origins: Sequence[str]) -> Guard:
        return create_server(by_name, origins=origins, **{"token": TOKEN, **options})

    with running(create, https=https) as server:
        yield server


@contextmanager
def running(
    create: Callable[[Sequence[str]], Guard], *, https: bool = False
) -> Iterator[RunningServer]:
    """Run an application on a free port of this computer, in a thread."""
    with listening_socket("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        scheme = "https" if https else "http"
        origins = [f"{scheme}://127.0.0.1:{port}", f"{scheme}://localhost:{port}"]
        config = uvicorn_config(create(origins), https_host="127.0.0.1" if https else None)
        server = PreviewServer(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            assert server.started
            yield RunningServer(port, server)
        finally:
            server.should_exit = True
            thread.join(TIMEOUT)
            assert not thread.is_alive(), "the server did not stop"


def wait_until(condition: Callable[[], object], seconds: float = TIMEOUT) -> None:
    """Wait until a condition is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.01)
