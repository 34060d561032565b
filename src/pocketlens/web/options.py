"""The options of `create_web` that a recipe has, too: the page's name and its address."""

from __future__ import annotations

from urllib.parse import urlsplit

from pocketlens.app.names import check_options
from pocketlens.errors import printable

__all__ = ["check_web_options"]

MAX_URL = 500
"""The longest address, in characters: a QR code of more is hard to scan."""


def check_web_options(name: str | None = None, url: str | None = None) -> list[str]:
    """One message per invalid option of `create_web`; an option that is None is not checked."""
    problems = check_options(name)
    if url is not None and not _is_address(url):
        problems.append(
            f"the address of the website must start with https:// or http:// and have at most "
            f"{MAX_URL} characters, such as https://name.github.io/digits/; received: {url!r:.200}"
        )
    return problems


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # a number, if there is one
    except ValueError:
        return False
    return bool(
        parts.scheme in ("https", "http")
        and host
        and parts.username is None
        and len(url) <= MAX_URL
        and printable(url) == url
        and not any(letter.isspace() or letter in '<>"\\^`{|}' for letter in url)
    )
