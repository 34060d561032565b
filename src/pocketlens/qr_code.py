"""QR codes: an address that a phone's camera reads."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pocketlens.errors import require

if TYPE_CHECKING:
    import segno

__all__ = ["qr_image", "qr_text"]

BORDER = 4  # modules, as the standard asks for


def qr_text(text: str) -> str:
    """A QR code of block characters, for a terminal."""
    output = io.StringIO()
    _code(text).terminal(output, compact=True)
    return output.getvalue()


def qr_image(text: str) -> str:
    """A QR code as the data URI of an SVG image, black on white."""
    image: str = _code(text).svg_data_uri(scale=4, border=BORDER, light="#fff")
    return image


def _code(text: str) -> segno.QRCode:
    require("segno", purpose="a QR code")
    import segno

    return segno.make_qr(text, error="m")
