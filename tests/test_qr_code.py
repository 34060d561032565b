"""QR codes, read by a decoder of its own."""

from __future__ import annotations

import re
from urllib.parse import unquote

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketlens.qr_code import qr_image, qr_text


def modules(drawn: str) -> NDArray[np.bool_]:
    """The modules of a code that is drawn in half blocks, without the quiet zone; True is dark."""
    dark = {" ": (1, 1), "▀": (0, 1), "▄": (1, 0), "█": (0, 0)}
    rows: list[list[int]] = []
    for line in drawn.splitlines():
        pairs = [dark[letter] for letter in line]
        rows += [[top for top, _ in pairs], [bottom for _, bottom in pairs]]
    width = len(rows[0])
    matrix = np.array(rows[:width], bool)
    assert not matrix[:4].any()
    assert not matrix[:, :4].any()
    assert not matrix[:, -4:].any()
    return matrix[4:-4, 4:-4]


MASKS = [
    lambda i, j: (i + j) % 2 == 0,
    lambda i, j: i % 2 == 0,
    lambda i, j: j % 3 == 0,
    lambda i, j: (i + j) % 3 == 0,
    lambda i, j: (i // 2 + j // 3) % 2 == 0,
    lambda i, j: (i * j) % 2 + (i * j) % 3 == 0,
    lambda i, j: ((i * j) % 2 + (i * j) % 3) % 2 == 0,
    lambda i, j: ((i + j) % 2 + (i * j) % 3) % 2 == 0,
]


def decode_qr(code: NDArray[np.bool_]) -> str:
    size = len(code)
    assert size in (25, 29), "versions 2 and 3"
    finder = np.array(
        [[max(abs(i - 3), abs(j - 3)) not in (2,) for j in range(7)] for i in range(7)]
    )
    for corner in (code[:7, :7], code[:7, -7:], code[-7:, :7]):
        np.testing.assert_array_equal(corner, finder)
    fixed = np.zeros_like(code)
    fixed[:9, :9] = fixed[:9, -8:] = fixed[-8:, :9] = True
    fixed[6], fixed[:, 6] = True, True
    fixed[-9:-4, -9:-4] = True
    format_bits = sum(int(code[8, column]) << (4 - column) for column in range(5)) ^ 0b10101
    level, mask = format_bits >> 3, format_bits & 0b111
    upwards = True
    places = []
    for right in [*range(size - 1, 6, -2), *range(5, 0, -2)]:
        rows = reversed(range(size)) if upwards else range(size)
        places += [(row, column) for row in rows for column in (right, right - 1)]
        upwards = not upwards
    bits = [code[at] ^ MASKS[mask](*at) for at in places if not fixed[at]]
    data = np.packbits(np.array(bits, bool)).tobytes()
    if size == 29 and level == 0b11:  # two interleaved blocks
        data = data[:34:2] + data[1:34:2]
    number = int.from_bytes(data, "big")
    total = 8 * len(data)
    assert number >> (total - 4) == 0b0100, "bytes"
    length = number >> (total - 12) & 0xFF
    return (number >> (total - 12 - 8 * length) & (1 << 8 * length) - 1).to_bytes(length).decode()


@pytest.mark.parametrize(
    "address",
    [
        "https://10.0.0.1:8765",
        "https://192.168.1.20:8765",
        "https://192.168.100.200:54321",
        "https://172.16.254.1:443",
    ],
)
def test_code_contains_the_address(address: str) -> None:
    assert decode_qr(modules(qr_text(address))) == address


def drawn_modules(image: str) -> NDArray[np.bool_]:
    """The modules of a code that is drawn as lines of an SVG image, without the quiet zone."""
    svg = unquote(image.partition(",")[2])
    path = re.search(r"class='qrline' stroke='#000' d='([^']+)'", svg)
    assert path
    size = max(map(int, re.findall(r"\d+", path[1]))) + 100
    matrix = np.zeros((size, size), bool)
    x = y = 0
    for command, values in re.findall(r"([Mmh])([-\d. ]+)", path[1]):
        numbers = [int(float(each)) for each in re.findall(r"-?[\d.]+", values)]
        if command == "h":
            matrix[y, x : x + numbers[0]] = True
            x += numbers[0]
        else:
            x, y = numbers if command == "M" else (x + numbers[0], y + numbers[1])
    used = np.argwhere(matrix)
    assert used.min() == 4
    return matrix[4 : used.max() + 1, 4 : used.max() + 1]


def test_image_contains_the_address() -> None:
    address = "https://name.github.io/digits/"
    image = qr_image(address)
    assert image.startswith("data:image/svg+xml")
    assert decode_qr(drawn_modules(image)) == address
