"""Decoding image files, with limits on what a file may cost.

Every image file that this package reads goes through `open_image` or `decoding`. The file is walked
before it is decoded (`image_files`), so that its number of pixels and the work per pixel are known.
All threads together decode at most `MAX_PIXELS` at a time.
"""

from __future__ import annotations

import importlib.util
import os
import stat
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from pocketlens.errors import ImageError, instead_of_file
from pocketlens.image_files import FORMATS, MAX_FILE_BYTES, ImageFile, read_image_file

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "MAX_PIXELS",
    "check_pixels",
    "decoding",
    "open_image",
    "open_with_facts",
    "to_gray_or_rgb",
]

MAX_PIXELS = 100_000_000
"""The largest image that is decoded: 100 megapixels, 400 MB in memory."""

MAX_SCANS = 100
"""The most scans of an image; a progressive JPEG file of a camera or a website has about ten."""

SCANS_OF_LARGEST = 20
"""Scans of an image with the most pixels; smaller images may have more, up to `MAX_SCANS`."""


class _Memory:
    """Lets threads wait until there is memory for an image.

    Args:
        most: The pixels of all images that are decoded at the same time.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.free = most
        self.changed = threading.Condition()

    @contextmanager
    def for_pixels(self, pixels: int) -> Iterator[None]:
        taken = min(pixels, self.most)
        with self.changed:
            self.changed.wait_for(lambda: self.free >= taken)
            self.free -= taken
        try:
            yield
        finally:
            with self.changed:
                self.free += taken
                self.changed.notify_all()


_MEMORY = _Memory(MAX_PIXELS)


class _NoWarnings:
    """Within: Pillow warns about nothing.

    Its warnings about large images have a stricter limit here, and those about damaged files are
    either harmless or followed by an error. Python's filters belong to all threads together, so the
    first one changes them, and the last one restores them.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.threads = 0
        self.filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self.lock:
            self.threads += 1
            if self.threads == 1:
                self.filters = warnings.catch_warnings()
                self.filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.threads -= 1
            if self.threads == 0:
                self.filters.__exit__(None, None, None)


_NO_WARNINGS = _NoWarnings()


def open_image(
    source: str | os.PathLike[str] | bytes, *, max_pixels: int = MAX_PIXELS, use: str = ""
) -> Image.Image:
    """Open and decode an image file: upright (EXIF orientation applied), mode `L` or `RGB`.

    All other metadata is dropped, as it may be damaged or private. Transparent parts become white.
    Only the first frame of an animation is used.

    Args:
        source: The file's path, or its contents.
        max_pixels: The largest image that is decoded.
        use: What the image is used for, if `max_pixels` is the limit of that use, such as `photo`.

    Raises:
        ImageError: No such file, not an image, truncated, more than `max_pixels` pixels, or far
            more expensive to decode than an image of this size should be.
    """
    with decoding(source, max_pixels=max_pixels, use=use) as image:
        return image


@contextmanager
def decoding(
    source: str | os.PathLike[str] | bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    use: str = "",
    side: int = 0,
) -> Iterator[Image.Image]:
    """`open_image` for an image that is reduced in the block: other threads wait for its memory.

    Args:
        source: See `open_image`.
        max_pixels: See `open_image`.
        use: See `open_image`.
        side: A JPEG file is decoded at 1/2, 1/4 or 1/8 of its size as long as both sides stay at
            least this long, which is several times as fast; 0 for the full size.

    Raises:
        ImageError: See `open_image`.
    """
    name = "the image" if isinstance(source, bytes) else str(Path(source))
    file = _checked(source, name, max_pixels, use)
    with _MEMORY.for_pixels(max(file.pixels, file.width * file.height) or max_pixels):
        yield _decode(file, name, max_pixels, use, side)


def open_with_facts(
    source: str | os.PathLike[str] | bytes, *, side: int
) -> tuple[ImageFile, Image.Image]:
    """What a walk over an image file tells, and the image, decoded at a reduced size if possible.

    Args:
        source: See `open_image`.
        side: A JPEG file is decoded at 1/2, 1/4 or 1/8 of its size as long as both sides stay at
            least this long. That is several times as fast.

    Raises:
        ImageError: See `open_image`.
    """
    name = "the image" if isinstance(source, bytes) else str(Path(source))
    file = _checked(source, name, MAX_PIXELS, "")
    with _MEMORY.for_pixels(max(file.pixels, file.width * file.height) or MAX_PIXELS):
        return file, _decode(file, name, MAX_PIXELS, "", side)


def _checked(
    source: str | os.PathLike[str] | bytes, name: str, max_pixels: int, use: str
) -> ImageFile:
    """The file, walked, and with nothing that would make it expensive to decode."""
    file = _walk(source if isinstance(source, bytes) else _read(Path(source)), name)
    check_pixels((file.width, file.height), name, max_pixels, use)
    _check_work(file, name, max_pixels)
    return file


def check_pixels(size: tuple[int, int], what: str, most: int = MAX_PIXELS, use: str = "") -> None:
    """Check the size of an image.

    Args:
        size: Width and height.
        what: The subject of the error message.
        most: The most pixels.
        use: What the image is used for, if `most` is the limit of that use.

    Raises:
        ImageError: The image has more than `most` pixels.
    """
    width, height = size
    if width * height > most:
        purpose = f" for a {use}" if use else ""
        raise ImageError(
            f"{what} has {width} × {height} pixels; expected at most {most}{purpose}; "
            "make it smaller"
        )


def _read(path: Path) -> bytes:
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):  # reading a pipe would wait forever
            raise ImageError(f"{path} cannot be read as an image: it is not a file")
        if info.st_size > MAX_FILE_BYTES:
            raise ImageError(
                f"{path} has {info.st_size} bytes; expected at most {MAX_FILE_BYTES}; "
                "make it smaller"
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist; expected an image file") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise ImageError(f"{path} cannot be read as an image: {error}") from error


def _walk(content: bytes, name: str) -> ImageFile:
    try:
        file = read_image_file(content)
    except (ValueError, struct.error, IndexError, OverflowError) as error:
        damaged = not isinstance(error, ValueError)
        reason = "it is cut off or damaged" if damaged else str(error)
        raise ImageError(f"{name} cannot be read as an image: {reason}") from error
    if file is None:
        if (instead := instead_of_file(content[:100])) is not None:
            raise ImageError(f"{name} {instead}")
        raise ImageError(
            f"{name} has an unsupported image format; expected one of: {', '.join(FORMATS)}"
        )
    return file


def _check_work(file: ImageFile, name: str, max_pixels: int) -> None:
    """Check the number of scans: each of them goes over all pixels again."""
    pixels = max(1, file.width * file.height)
    most = min(MAX_SCANS, SCANS_OF_LARGEST * max_pixels // pixels)
    if file.scans > most:
        raise ImageError(
            f"{name} has {file.scans} scans of {file.width} × {file.height} pixels; expected at "
            f"most {most}; save it again with an image editor"
        )
    if file.pixels > max_pixels:
        raise ImageError(f"{name} has tiles of {file.pixels} pixels; expected at most {max_pixels}")


def _decode(file: ImageFile, name: str, max_pixels: int, use: str, side: int = 0) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    if file.format == "HEIF" and not _register_heif():
        raise ImageError(
            f"{name} is a HEIC photo, and the package 'pillow-heif' is not installed; in the "
            "folder of the Pocketlens clone, type: pip install '.[photos]'"
        )
    try:
        with (
            _NO_WARNINGS,
            Image.open(BytesIO(file.content), formats=[file.format]) as image,
        ):
            check_pixels(image.size, name, max_pixels, use)
            if side:
                image.draft(None, (side, side))
            image.load()
            return _upright(image, file, name)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ImageError(f"{name} cannot be read as an image: it is damaged") from error
    except (OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error) as error:
        # Pillow's decoders raise any of these for damaged files.
        raise ImageError(f"{name} cannot be read as an image: {error}") from error


def _register_heif() -> bool:
    """Let Pillow open HEIC photos through pillow-heif; False if that is not installed.

    It adds the format HEIF only, so Pillow still opens AVIF and all others itself.
    """
    from PIL import Image

    if "HEIF" not in Image.OPEN:
        if importlib.util.find_spec("pillow_heif") is None:
            return False
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
    return True


def _upright(image: Image.Image, file: ImageFile, name: str) -> Image.Image:
    from PIL import Image

    orientation = file.orientation
    if file.format == "AVIF":  # Pillow makes small EXIF data from the file's `irot` and `imir`
        orientation = image.getexif().get(0x0112, 1)
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    upright = to_gray_or_rgb(image, name)
    if orientation in turns:
        upright = upright.transpose(turns[orientation])
    elif upright is image and file.format != "JPEG":
        # Other formats' images still refer to their file. Large photos are not copied: all of
        # a JPEG file's metadata is gone.
        upright = image.copy()
    upright.info.clear()
    return upright


def to_gray_or_rgb(image: Image.Image, name: str = "the image") -> Image.Image:
    """An image as mode `L` or `RGB`; transparent parts become white.

    Args:
        image: The image.
        name: The subject of the error message.

    Raises:
        ImageError: It has 32 bits per channel.
    """
    import numpy as np
    from PIL import Image

    if image.mode in ("L", "RGB"):
        return image
    if image.mode.startswith("I;16"):  # 16-bit gray: Pillow would clip it, not scale it
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ImageError(
            f"{name} has mode {image.mode} (32-bit gray); expected 8 or 16 bits per channel"
        )
    if image.has_transparency_data:
        background = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(background, image.convert("RGBA")).convert("RGB")
    return image.convert("L" if image.mode == "1" else "RGB")
