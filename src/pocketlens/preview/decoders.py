"""Decodes the images of pages: cheap ones in this process, others in processes that can be ended.

A file that is small and simple by its header is decoded here, like the frames of a camera and
drawings. Any other file goes to one of a few processes. They are started when the first such file
arrives, and have limits on time and memory. One that exceeds them is killed, and replaced for the
next file.

This module is also the program of these processes (`python -m pocketlens.preview.decoders`). A
request has the file's content as its bytes.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketlens.decoding import decoding
from pocketlens.errors import ImageError
from pocketlens.image import InputSpec, decoded_side, open_image, prepare
from pocketlens.image_files import read_image_file
from pocketlens.processes import Answer, Process, ProcessEndedError, limit_memory, serve

__all__ = [
    "CORRECTION_SIDE",
    "FRAME",
    "MAX_FRAME_PIXELS",
    "MAX_PHOTO_PIXELS",
    "PHOTO",
    "PROCESSES",
    "Decoders",
    "Limit",
    "is_cheap",
    "prepared",
    "reduced",
]

MAX_PHOTO_PIXELS = 30_000_000
"""The largest photo that a page may send: 30 megapixels, 120 MB decoded."""

MAX_FRAME_PIXELS = 4_000_000
"""The largest frame of a live stream: a little more than 2560 × 1440."""

CORRECTION_SIDE = 640
"""Corrections are reduced to this height or width in pixels; small networks need less."""

JPEG_QUALITY = 90

PROCESSES = 2
"""The most images that are decoded in other processes at the same time."""

MAX_SECONDS = 10.0
"""How long a process may take for an image; a photo of 30 megapixels takes less than a second."""

MAX_MEMORY = 2 << 30
"""The address space of a process in bytes, on systems that limit it."""

CHEAP_PIXELS = 4_000_000
"""Pixels times scans of an image that is decoded in this process, in about 50 ms at most."""

CHEAP_FORMATS = ("JPEG", "PNG")


class Limit(NamedTuple):
    """The largest image of a use, such as a photo."""

    max_pixels: int
    use: str


PHOTO = Limit(MAX_PHOTO_PIXELS, "photo")
FRAME = Limit(MAX_FRAME_PIXELS, "frame")


def is_cheap(content: bytes) -> bool:
    """Whether an image file can be decoded in milliseconds, or is refused before it is decoded."""
    try:
        file = read_image_file(content)
    except (ValueError, struct.error, IndexError, OverflowError):
        return True
    if file is None:
        return True
    work = file.width * file.height * file.scans
    return file.format in CHEAP_FORMATS and work <= CHEAP_PIXELS


class Decoders:
    """Decodes images. The methods are thread-safe and wait for the result."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Decoder] = []
        self._all: set[_Decoder] = set()
        self._free = threading.Semaphore(PROCESSES)
        self._closed = False

    def prepare(
        self, content: bytes, specs: Sequence[InputSpec], limit: Limit
    ) -> list[NDArray[np.uint8]]:
        """An image file as the input of several models, decoded in a process.

        Args:
            content: The content of the file.
            specs: The models' inputs.
            limit: The largest image that is decoded.

        Returns:
            One array `spec.shape` for each of `specs`.

        Raises:
            ImageError: The image cannot be read, or exceeds a limit.
        """
        request = {"limit": limit, "specs": [spec.to_json() for spec in specs]}
        answer, found = self._ask(request, content), []
        for spec in specs:
            size = int(np.prod(spec.shape))
            found.append(np.frombuffer(answer[:size], np.uint8).reshape(spec.shape))
            answer = answer[size:]
        return found

    def to_png(self, content: bytes, side: int = CORRECTION_SIDE) -> bytes:
        """A photo as a PNG file of at most `side` pixels in height and width, without metadata.

        Raises:
            ImageError: The image cannot be read, or exceeds a limit.
        """
        return self._reduced(content, side, "PNG")

    def to_jpeg(self, content: bytes, side: int) -> bytes:
        """The same as a JPEG file, which is smaller and loses a little.

        Raises:
            ImageError: The image cannot be read, or exceeds a limit.
        """
        return self._reduced(content, side, "JPEG")

    def _reduced(self, content: bytes, side: int, file_format: str) -> bytes:
        if is_cheap(content):
            return reduced(content, side, file_format)
        return self._ask({"reduce": side, "format": file_format}, content)

    def close(self) -> None:
        """End all processes, also those that are decoding; further images are refused."""
        with self._lock:
            self._closed = True
            for decoder in self._all:
                decoder.process.child.kill()
                decoder.process.child.wait()

    def _ask(self, request: dict[str, Any], content: bytes) -> bytes:
        with self._free:
            decoder = self._take()
            try:
                answer = decoder.ask(request, content)
            except ImageError:
                if decoder.process.alive:
                    self._give_back(decoder)
                else:
                    self._forget(decoder)
                raise
            except BaseException:
                decoder.process.end()
                self._forget(decoder)
                raise
            self._give_back(decoder)
            return answer

    def _take(self) -> _Decoder:
        with self._lock:
            if self._closed:
                raise ImageError("the preview has been stopped")
            while self._idle:
                decoder = self._idle.pop()
                if decoder.process.alive:
                    return decoder
                self._all.discard(decoder)
            try:
                decoder = _Decoder()
            except OSError as error:  # too many processes or open files
                raise ImageError(
                    f"the image cannot be decoded now: {error.strerror}; try again later, or send "
                    "it as a small JPEG or PNG file"
                ) from error
            self._all.add(decoder)
            return decoder

    def _give_back(self, decoder: _Decoder) -> None:
        with self._lock:
            self._idle.append(decoder)

    def _forget(self, decoder: _Decoder) -> None:
        decoder.process.child.wait()
        with self._lock:
            self._all.discard(decoder)


class _Decoder:
    """One process."""

    def __init__(self) -> None:
        self.process = Process(__name__)

    def ask(self, request: dict[str, Any], content: bytes) -> bytes:
        """Send a request and wait for the answer; after an error, the process may have ended.

        Raises:
            ImageError: The image cannot be read, or exceeds a limit.
        """
        try:
            result, data = self.process.ask(request, content, seconds=MAX_SECONDS, most=MAX_MEMORY)
        except ProcessEndedError as error:
            raise ImageError(
                f"the image took more than {MAX_SECONDS:.0f} seconds or "
                f"{MAX_MEMORY >> 30} GiB of memory to decode; save it again with an image editor"
            ) from error
        if "error" in result:
            raise ImageError(result["error"])
        return data


def prepared(content: bytes, specs: Sequence[InputSpec], limit: Limit) -> list[NDArray[np.uint8]]:
    """An image file as the input of several models, decoded here; see `Decoders.prepare`."""
    found = []
    for spec in specs:  # each decoded as by `prepare`, so that the pixels are those of `predict`
        with decoding(
            content, max_pixels=limit.max_pixels, use=limit.use, side=decoded_side(spec)
        ) as image:
            found.append(prepare(image, spec))
    return found


def reduced(content: bytes, side: int = CORRECTION_SIDE, file_format: str = "PNG") -> bytes:
    """A photo as a small file, decoded here; see `Decoders.to_png` and `to_jpeg`."""
    image = open_image(content, max_pixels=PHOTO.max_pixels, use=PHOTO.use)
    image.thumbnail((side, side))
    file = BytesIO()
    image.save(file, file_format, **({"quality": JPEG_QUALITY} if file_format == "JPEG" else {}))
    return file.getvalue()


def _answer(request: dict[str, Any], content: bytes) -> bytes:
    if "reduce" in request:
        return reduced(content, request["reduce"], request["format"])
    specs = [InputSpec.from_json(text) for text in request["specs"]]
    arrays = prepared(content, specs, Limit(*request["limit"]))
    return b"".join(array.tobytes() for array in arrays)


def _reply(request: dict[str, Any], content: bytes) -> Answer:
    try:
        return {}, _answer(request, content)
    except ImageError as error:
        return {"error": str(error)}, b""


if __name__ == "__main__":
    limit_memory(MAX_MEMORY)
    serve(_reply)
