"""Image files, read before they are decoded: how large they are, and only the part with the pixels.

A small file can cost any amount of time or memory to decode: thousands of scans, text that unpacks
to gigabytes, tags that all point to the same megabytes, endless frames. So each file is walked
first, which decodes nothing. The walk finds the size, the orientation and the number of scans, and
copies only what the first picture needs. The decoder never sees metadata and further frames.

Sources: ISO/IEC 10918-1 (JPEG), the PNG specification (third edition), TIFF 6.0, GIF89a, RFC 9649
(WebP), ISO/IEC 23000-22 (AVIF, HEIC), Exif 2.32 (orientation).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["FORMATS", "MAX_FILE_BYTES", "ImageFile", "read_image_file"]

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "HEIF")

MAX_FILE_BYTES = 500_000_000
"""The largest image file: 100 megapixels, uncompressed, with four channels."""

MAX_PIECES, BYTES_PER_PIECE = 1000, 500
"""A file has at most 1,000 parts (chunks, segments, blocks) and one more per 500 bytes."""

MAX_STRIPS = 50_000
"""The most strips or tiles of a TIFF file."""

MAX_TAG_VALUES = 200_000
"""The most values of another TIFF tag; a palette of 16-bit colors has 196,608."""

MAX_SLOW_BYTES = 2_000_000
"""The largest file of a kind that Pillow decodes in Python, with about a million bytes a second."""

MAX_EXIF_TAGS = 1000
MAX_PROFILE_BYTES = 200_000
ORIENTATION = 0x0112

XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


@dataclass(frozen=True)
class ImageFile:
    """The first picture of an image file, without metadata.

    Args:
        format: One of `FORMATS`.
        content: A file of the same format with only this picture.
        width: In pixels; 0 if only the decoder knows it.
        height: In pixels; 0 if only the decoder knows it.
        orientation: EXIF orientation, 1 (upright) to 8.
        scans: How often the decoder goes over all pixels.
        pixels: The most pixels that are held at once, if more than `width * height`.
        animated: Whether more frames or pages follow the first one.
    """

    format: str
    content: bytes
    width: int
    height: int
    orientation: int = 1
    scans: int = 1
    pixels: int = 0
    animated: bool = False


def read_image_file(content: bytes) -> ImageFile | None:
    """Walk an image file.

    Returns:
        None if the format is not one of `FORMATS`.

    Raises:
        ValueError: The file is damaged, or has far more parts than an honest file.
        struct.error: The file is cut off.
    """
    reader = next((reader for magic, reader in READERS if magic.match(content)), None)
    return None if reader is None else reader(content)


class _Pieces:
    """Counts the parts of a file."""

    def __init__(self, content: bytes) -> None:
        self.most = MAX_PIECES + len(content) // BYTES_PER_PIECE
        self.count = 0

    def add(self) -> None:
        self.count += 1
        if self.count > self.most:
            raise ValueError(
                f"it consists of more than {self.most} parts; save it again with an image editor"
            )


# A marker, but neither a stuffed zero byte nor a fill byte.
JPEG_MARKER = re.compile(rb"\xff[^\x00\xff]")
JPEG_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
JPEG_NO_LENGTH = {0x01, *range(0xD0, 0xD9)}
JPEG_DROPPED = {*range(0xE0, 0xF0), 0xFE} - {0xE0, 0xEE}
"""Application segments and comments, except JFIF and Adobe, which tell the color space."""


def _jpeg(content: bytes) -> ImageFile:
    kept, exif, xmp, scans, size = [content[:2]], b"", b"", 0, (0, 0)
    pieces, end = _Pieces(content), 2
    while match := JPEG_MARKER.search(content, end):
        code, start, end = content[match.start() + 1], match.start(), match.end()
        if code in JPEG_NO_LENGTH:
            continue
        if code == 0xD9:
            kept.append(content[start:end])
            break
        pieces.add()
        end += max(2, *struct.unpack_from(">H", content, end))
        body = content[start + 4 : min(end, start + 65537)]
        if code == 0xE1 and body.startswith(b"Exif\0\0"):
            exif = exif or body
        elif code == 0xE1 and body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            xmp = xmp or body
        elif code in JPEG_FRAMES:
            if size != (0, 0):
                raise ValueError("it has two frames")
            size = struct.unpack_from(">xHH", body)
        elif code == 0xDA:
            scans += 1
            after = JPEG_AFTER_SCAN.search(content, end)
            end = after.start() if after else len(content)
        if code not in JPEG_DROPPED:
            kept.append(content[start:end])
    height, width = size
    return ImageFile("JPEG", b"".join(kept), width, height, _orientation(exif, xmp), max(1, scans))


PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
PNG_PROFILE = b"Raw profile type exif\0"


def _png(content: bytes) -> ImageFile:
    kept, exif, xmp, pieces, animated = [content[:8]], b"", b"", _Pieces(content), False
    width, height = struct.unpack_from(">II", content, 16)
    at = 8
    while at + 8 <= len(content):
        pieces.add()
        length, kind = struct.unpack_from(">I4s", content, at)
        body, end = slice(at + 8, at + 8 + length), at + 12 + length
        if kind in PNG_KEPT:
            kept.append(content[at:end])
        elif kind == b"acTL":
            animated = True
        elif kind == b"eXIf":
            exif = exif or content[body]
        elif kind == b"iTXt" and content.startswith(b"XML:com.adobe.xmp\0\0", at + 8):
            xmp = xmp or content[body]
        elif kind in (b"zTXt", b"tEXt") and content.startswith(PNG_PROFILE, at + 8):
            exif = exif or _raw_profile(kind, content[body])
        at = end
        if kind == b"IEND":
            break
    orientation = _orientation(exif, xmp)
    return ImageFile("PNG", b"".join(kept), width, height, orientation, animated=animated)


def _raw_profile(kind: bytes, chunk: bytes) -> bytes:
    """EXIF data as ImageMagick stores it: hexadecimal digits after three lines."""
    text = chunk[len(PNG_PROFILE) :][:MAX_PROFILE_BYTES]
    try:
        if kind == b"zTXt":
            text = zlib.decompressobj().decompress(text[1:], MAX_PROFILE_BYTES)
        return bytes.fromhex("".join(text.decode("ascii").split("\n")[3:]))
    except (zlib.error, ValueError):
        return b""


def _webp(content: bytes) -> ImageFile:
    kept, exif, xmp, frames = [], b"", b"", 0
    for kind, body in _webp_chunks(content):
        if kind == b"EXIF":
            exif = exif or body
        elif kind == b"XMP ":
            xmp = xmp or body
        elif kind == b"VP8X":
            # The flags of metadata are cleared: ICC profile 32, EXIF 8, XMP 4.
            kept.append((kind, bytes([body[0] & ~0b101100]) + body[1:]))
        elif kind in (b"VP8 ", b"VP8L", b"ALPH", b"ANIM") or (kind == b"ANMF" and not frames):
            frames += kind == b"ANMF"
            kept.append((kind, body))
    if not kept:
        raise ValueError("it has no picture")
    kind, first = kept[0]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(first[at : at + 3], "little") for at in (4, 7))
    elif kind == b"VP8L":
        bits = int.from_bytes(first[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", first, 6))
    chunks = b"".join(
        name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2) for name, body in kept
    )
    whole = b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks
    orientation = _orientation(exif, xmp)
    return ImageFile("WEBP", whole, width, height, orientation, animated=frames > 0)


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    pieces, at = _Pieces(content), 12
    while at + 8 <= len(content):
        pieces.add()
        kind, length = struct.unpack_from("<4sI", content, at)
        if at + 8 + length > len(content):
            raise ValueError("it is cut off")
        yield kind, content[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _gif(content: bytes) -> ImageFile:
    """Up to the end of the first picture; of the extensions, only the one with transparency."""
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    pieces, at = _Pieces(content), 13 + _gif_palette(flags)
    kept = [content[:at]]
    while at < len(content):
        pieces.add()
        kind = content[at : at + 1]
        if kind == b"!":
            end = _gif_blocks(content, at + 2, pieces)
            if content[at + 1 : at + 2] == b"\xf9":
                kept.append(content[at:end])
        elif kind == b",":
            left, top, across, down, flags = struct.unpack_from("<HHHHB", content, at + 1)
            end = _gif_blocks(content, at + 11 + _gif_palette(flags), pieces)
            kept.append(content[at:end] + b";")
            size = max(width, left + across), max(height, top + down)
            animated = content[end : end + 1] in (b"!", b",")
            return ImageFile("GIF", b"".join(kept), *size, animated=animated)
        else:
            end = at + 1
        at = end
    raise ValueError("it has no picture")


def _gif_palette(flags: int) -> int:
    return int(3 << ((flags & 7) + 1)) if flags & 0x80 else 0


def _gif_blocks(content: bytes, at: int, pieces: _Pieces) -> int:
    """The end of a list of blocks; a byte with the length is before each, 0 ends the list."""
    while at < len(content) and (length := content[at]):
        pieces.add()
        at += 1 + length
    return at + 1


def _bmp(content: bytes) -> ImageFile:
    (header,) = struct.unpack_from("<I", content, 14)
    if header == 12:
        width, height = struct.unpack_from("<HH", content, 18)
        return ImageFile("BMP", content, width, height)
    width, height, compression = struct.unpack_from("<ii4xI", content, 18)
    if compression in (1, 2):
        _check_slow(content, "a run-length encoded BMP file")
    return ImageFile("BMP", content, abs(width), abs(height))


def _ppm(content: bytes) -> ImageFile:
    head = re.sub(rb"#[^\r\n]*[\r\n]", b" ", content[:4096]).split(maxsplit=4)
    bitmap = head[0] in (b"P1", b"P4")
    if len(head) < (3 if bitmap else 4):
        raise ValueError("its header is cut off or longer than 4096 bytes")
    numbers = head[1:3] if bitmap else head[1:4]
    if not all(number.isdigit() and len(number) <= 10 for number in numbers):
        raise ValueError("its header has no sizes")
    if head[0] in (b"P1", b"P2", b"P3") or (not bitmap and int(numbers[2]) != 255):
        _check_slow(content, "a PPM file of text or with a maximum other than 255")
    return ImageFile("PPM", content, int(numbers[0]), int(numbers[1]))


def _check_slow(content: bytes, what: str) -> None:
    if len(content) > MAX_SLOW_BYTES:
        raise ValueError(
            f"{what} has at most {MAX_SLOW_BYTES} bytes; received: {len(content)}; save it as PNG"
        )


TIFF_TYPES = {1: "B", 2: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 18: "Q"}
"""Types of integers, as format characters of `struct`."""
WIDTH, LENGTH, COMPRESSION = 256, 257, 259
OFFSETS, BYTE_COUNTS, TILE_SIDES = (273, 324), (279, 325), (322, 323)
TIFF_KEPT = frozenset(
    (
        *range(254, 260), 262, 266, *OFFSETS, ORIENTATION, 277, 278, *BYTE_COUNTS, 282, 283, 284,
        292, 293, 296, 317, 320, *TILE_SIDES, 332, 338, 339, 347, *range(512, 522),
        *range(529, 533),
    )
)  # fmt: skip
"""The tags that describe pixels."""


def _tiff(content: bytes) -> ImageFile:
    """Keeps the first page only, and of its tags only those that describe pixels."""
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", content, 2)[0] == 43
    count_code, entry_code = ("Q", "HHQQ") if big else ("H", "HHII")
    (start,) = struct.unpack_from(f"{order}{'8xQ' if big else '4xI'}", content)
    (count,) = struct.unpack_from(f"{order}{count_code}", content, start)
    if count > MAX_EXIF_TAGS:
        raise ValueError(f"its first page has {count} tags; expected at most {MAX_EXIF_TAGS}")
    first, size = start + struct.calcsize(f"={count_code}"), struct.calcsize(f"={entry_code}")
    tags: dict[int, tuple[int, ...]] = {}
    kept: dict[int, bytes] = {}
    for number in range(count):
        at = first + number * size
        tag, kind, length, _ = struct.unpack_from(f"{order}{entry_code}", content, at)
        if tag not in TIFF_KEPT:
            continue
        if tag in kept:
            raise ValueError(f"it has tag {tag} twice")
        kept[tag] = content[at : at + size]
        lists = tag in OFFSETS + BYTE_COUNTS
        if length > (MAX_STRIPS if lists else MAX_TAG_VALUES):
            raise ValueError(f"its tag {tag} has {length} values, far too many")
        if kind not in TIFF_TYPES:
            continue
        width = struct.calcsize(f"={TIFF_TYPES[kind]}")
        place, inside = at + size - (8 if big else 4), 8 if big else 4
        if length * width > inside:
            (place,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", content, place)
        tags[tag] = struct.unpack_from(f"{order}{length}{TIFF_TYPES[kind]}", content, place)
    offsets = tags.get(OFFSETS[0]) or tags.get(OFFSETS[1]) or ()
    counts = tags.get(BYTE_COUNTS[0]) or tags.get(BYTE_COUNTS[1]) or ()
    if sum(counts) > len(content):
        raise ValueError("its strips overlap")
    scans = 1
    if tags.get(COMPRESSION, (1,))[0] in (6, 7):  # JPEG
        parts = zip(offsets, counts, strict=False) if counts else [(0, len(content))]
        scans = max(1, *(content.count(b"\xff\xda", at, at + length) for at, length in parts), 1)
    width, height, *sides = (tags.get(tag, (0,))[0] for tag in (WIDTH, LENGTH, *TILE_SIDES))
    orientation = tags.get(ORIENTATION, (1,))[0]
    end = first + count * size
    more = any(content[end : end + (8 if big else 4)])  # the place of the next page
    # The shorter list of tags is written in the place of the old one, and no page follows it.
    kept.pop(ORIENTATION, None)
    directory = struct.pack(f"{order}{count_code}", len(kept)) + b"".join(kept.values())
    directory += bytes(8 if big else 4)
    whole = content[:start] + directory + content[start + len(directory) :]
    pixels = sides[0] * sides[1]
    return ImageFile("TIFF", whole, width, height, orientation, scans, pixels, animated=more)


HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")


def _heif(content: bytes) -> ImageFile:
    """HEIC photos and AVIF images, which are kept in the same boxes.

    The whole file, but its EXIF item gets an unknown type; `irot` has the orientation.
    """
    size = int.from_bytes(content[:4], "big")
    brands = content[8 : min(size, 200)]
    brands = brands[:4] + brands[8:]  # without the version
    listed = [brands[at : at + 4] for at in range(0, len(brands), 4)]
    found = "HEIF" if any(brand in HEIF_BRANDS for brand in listed) else "AVIF"
    pieces, at = _Pieces(content), 0
    while at + 8 <= len(content):
        pieces.add()
        size, kind = struct.unpack_from(">I4s", content, at)
        head = 8
        if size == 1:
            head, (size,) = 16, struct.unpack_from(">Q", content, at + 8)
        end = len(content) if size == 0 else at + max(size, head)
        if kind == b"meta":
            content = content[:at] + content[at:end].replace(b"Exif", b"none") + content[end:]
        at = end
    return ImageFile(found, content, 0, 0, animated=listed[0] in (b"avis", b"hevc", b"hevx"))


READERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], ImageFile]], ...] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    (re.compile(rb"\xff\xd8\xff"), _jpeg),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _webp),
    (re.compile(rb"GIF8[79]a"), _gif),
    (re.compile(rb"BM"), _bmp),
    (re.compile(rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]"), _tiff),
    (re.compile(rb"P[1-6]\s"), _ppm),
    (re.compile(rb"....ftyp(?:avif|avis|mif1|msf1|hei[csmx]|hev[cx])", re.DOTALL), _heif),
)


def _orientation(exif: bytes, xmp: bytes) -> int:
    """The orientation, 1 to 8, from EXIF data, or else from XMP data; 1 if neither has it."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    try:
        if order:
            start, count = _ifd(tiff, order)
            for number in range(min(count, MAX_EXIF_TAGS)):
                tag, kind = struct.unpack_from(f"{order}HH", tiff, start + 12 * number)
                if tag == ORIENTATION:
                    code = TIFF_TYPES.get(kind, "H")
                    found: int = struct.unpack_from(
                        f"{order}{code}", tiff, start + 12 * number + 8
                    )[0]
                    return found
    except struct.error:
        pass  # damaged EXIF data: the pixels may still be fine
    match = XMP_ORIENTATION.search(xmp)
    return int(match[1]) if match else 1


def _ifd(tiff: bytes, order: str) -> tuple[int, int]:
    """The place of the first tag, and the number of tags."""
    (start,) = struct.unpack_from(f"{order}4xI", tiff)
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    return start + 2, count
