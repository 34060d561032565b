"""Small image files that are expensive to decode; a test fails if one of them gets through."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image

__all__ = ["BOMBS", "chunk", "jpeg_with_scans", "png"]


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def jpeg_with_scans(width: int, height: int, scans: int) -> bytes:
    """A progressive JPEG file whose last scan is repeated, `scans` in all."""
    content = encoded(Image.new("L", (width, height), 128), "JPEG", progressive=True)
    starts = [match.start() for match in re.finditer(b"\xff\xda", content)]
    # The last scan, with the tables before it.
    before = content.rindex(b"\xff\xc4", 0, starts[-1])
    start = before if before > starts[-2] else starts[-1]
    last = content[start:-2]
    return content[:-2] + last * (scans - len(starts)) + b"\xff\xd9"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks: bytes, width: int = 8, height: int = 8) -> bytes:
    """A black gray PNG file with further chunks before its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(height * (width + 1)), 9))
    return b"".join(
        (b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *chunks, pixels, chunk(b"IEND", b""))
    )


def many_tags(tags: int = 65_000, each: int = 1_000_000) -> bytes:
    """EXIF data in which every tag has the same megabyte as its value."""
    entries = b"".join(struct.pack("<HHII", n, 7, each, 8) for n in range(300, tags))
    start = 8 + each
    return (
        b"II*\0" + struct.pack("<I", start) + bytes(each) + struct.pack("<H", tags - 300) + entries
    )


def segments(data: bytes, head: bytes = b"Exif\0\0") -> bytes:
    """Data in as many JPEG segments APP1 as it takes."""
    size = 65_533 - len(head)
    parts = [head + data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"\xff\xe1" + struct.pack(">H", 2 + len(part)) + part for part in parts)


def jpeg_with(extra: bytes) -> bytes:
    content = encoded(Image.new("L", (8, 8)), "JPEG")
    return content[:2] + extra + content[2:]


def webp_with_exif() -> bytes:
    return encoded(Image.new("RGB", (8, 8)), "WEBP", exif=b"Exif\0\0" + many_tags())


def tiff(entries: list[tuple[int, int, int, int]], data: bytes = b"", next_page: int = 0) -> bytes:
    """A TIFF file of one page, with its tags after `data`, which begins at byte 8."""
    head = b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries))
    packed = (struct.pack("<HHII", *entry) for entry in sorted(entries))
    return head + b"".join(packed) + struct.pack("<I", next_page)


def gray_tiff(**tags: int) -> list[tuple[int, int, int, int]]:
    found = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 277: 1, 278: 8, 273: 8, 279: 64}
    found |= {int(name.removeprefix("tag")): value for name, value in tags.items()}
    return [(tag, 4, 1, value) for tag, value in found.items()]


def tiff_with_tags() -> bytes:
    return tiff([*gray_tiff(), *((1000 + n, 7, 1_000_000, 8) for n in range(60_000))], bytes(2**20))


def tiff_with_strips() -> bytes:
    count = 300_000
    offsets = struct.pack(f"<{count}I", *([8] * count))
    tags = [entry for entry in gray_tiff(tag256=1, tag257=count, tag278=1) if entry[0] != 273]
    return tiff([*tags, (273, 4, count, 8)], offsets)


def tiff_with_shared_strips() -> bytes:
    """Every row is a strip that unpacks the same megabyte."""
    rows, packed = 5000, zlib.compress(bytes(10_000_000), 9)
    data = packed + struct.pack(f"<{rows}I", *([8] * rows))
    data += struct.pack(f"<{rows}I", *([len(packed)] * rows))
    drop = (273, 278, 279)
    tags = [e for e in gray_tiff(tag256=10_000, tag257=rows, tag259=8) if e[0] not in drop]
    at = 8 + len(packed)
    tags += [(278, 4, 1, 1), (273, 4, rows, at), (279, 4, rows, at + 4 * rows)]
    return tiff(tags, data)


def tiff_with_a_large_tile() -> bytes:
    tags = [e for e in gray_tiff(tag259=8) if e[0] not in (273, 278, 279)]
    packed = zlib.compress(bytes(1000), 9)
    tile = [(322, 4, 1, 32_768), (323, 4, 1, 32_768), (324, 4, 1, 8), (325, 4, 1, len(packed))]
    return tiff([*tags, *tile], packed)


def gif_of_tiny_blocks() -> bytes:
    content = encoded(Image.new("L", (8, 8)), "GIF")
    comment = b"!\xfe" + b"\x01x" * 2_000_000 + b"\0"
    at = content.index(b",", 13 + 3 * 2)
    return content[:at] + comment + content[at:]


def bmp_with_runs() -> bytes:
    pixels = b"\x01\x05" * 4_000_000
    head = struct.pack("<IiiHHIIiiII", 40, 4000, 2000, 1, 8, 1, len(pixels), 0, 0, 256, 0)
    offset = 14 + len(head) + 1024
    return b"BM" + struct.pack("<IHHI", offset, 0, 0, offset) + head + bytes(1024) + pixels


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "300 scans": (
        lambda: jpeg_with_scans(2000, 1500, 300),
        "300 scans of 2000 × 1500 .*at most 100",
    ),
    "9,000 scans": (lambda: jpeg_with_scans(1000, 1000, 9000), "more than .* parts"),
    "a million segments": (lambda: jpeg_with(b"\xff\xfe\0\2" * 1_000_000), "more than .* parts"),
    "a million chunks": (lambda: png(*[chunk(b"tEXt", b"")] * 1_000_000), "more than .* parts"),
    "empty pixel chunks": (lambda: png(*[chunk(b"IDAT", b"")] * 1_000_000), "more than .* parts"),
    "tiny GIF blocks": (gif_of_tiny_blocks, "more than .* parts"),
    "tags of a TIFF file": (tiff_with_tags, "60009 tags; expected at most 1000"),
    "strips of a TIFF file": (tiff_with_strips, "300000 values, far too many"),
    "shared strips of a TIFF file": (tiff_with_shared_strips, "its strips overlap"),
    "a large tile": (tiff_with_a_large_tile, "tiles of 1073741824 pixels"),
    "a run-length encoded BMP file": (bmp_with_runs, "at most 2000000 bytes"),
    "a PPM file of text": (
        lambda: b"P3 3000 2000 255 " + b"1 " * 18_000_000,
        "at most 2000000 bytes; received: 36000017",
    ),
    "a PPM file with another maximum": (
        lambda: b"P6 3000 2000 100 " + bytes(18_000_000),
        "at most 2000000 bytes",
    ),
    "a PPM header": (lambda: b"P5 " + b"#\n" * 3_000_000 + b"1 1 255 ", "longer than 4096"),
}
"""Name -> (content, what the error says)."""

HARMLESS: dict[str, Callable[[], bytes]] = {
    "EXIF tags in JPEG": lambda: jpeg_with(segments(many_tags())),
    "EXIF tags in PNG": lambda: png(chunk(b"eXIf", many_tags())),
    "EXIF tags in WebP": webp_with_exif,
    "compressed text": lambda: png(
        *[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000), 9))] * 900
    ),
    "compressed color profile": lambda: png(
        *[chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(100_000_000), 9))] * 20
    ),
    "XMP in JPEG": lambda: jpeg_with(
        segments(b"<a" * 8_000_000, b"http://ns.adobe.com/xap/1.0/\0")
    ),
    "fill bytes": lambda: jpeg_with(b"\xff" * 10_000_000),
    "an endless chain of pages": lambda: tiff(gray_tiff(), bytes(64), next_page=72),
    "a frame after the first": lambda: encoded(
        Image.new("L", (8, 8)),
        "PNG",
        save_all=True,
        append_images=[Image.fromarray(np.full((8, 8), n, np.uint8)) for n in range(200)],
    ),
}
"""Metadata that is expensive to read, around an image of 8 × 8 pixels: the image is opened."""
