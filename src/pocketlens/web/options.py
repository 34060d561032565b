"""The options of `create_web` that a recipe has, too: the page's name and its address."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pocketlens.app.names import check_options
from pocketlens.errors import printable

__all__ = ["check_web_options", "of_folder"]

MAX_URL = 500
"""The longest address, in characters: a QR code of more is hard to scan."""


def check_web_options(name: str | None = None, url: str | None = None) -> list[str]:
    """One message per invalid option of `create_web`; an option that is None is not checked."""
    problems = check_options(name)
    if url is not None and (rule := _broken_rule(url)):
        problems.append(
            f"the address of the website must {rule}, such as https://name.github.io/digits/; "
            f"received: {url!r:.200}"
        )
    return problems


def of_folder(url: str) -> str:
    """The address with a slash at its end: the page works offline only under its whole address."""
    parts = urlsplit(url)
    if parts.path.endswith("/") or "." in parts.path.rpartition("/")[2]:
        return url
    return parts._replace(path=f"{parts.path}/").geturl()


def _broken_rule(url: str) -> str:
    """The first rule of an address that is broken; empty if none is."""
    if len(url) > MAX_URL:
        return f"have at most {MAX_URL} characters"
    if printable(url) != url or any(each.isspace() or each in '<>"\\^`{|}' for each in url):
        return 'have no spaces and none of < > " \\ ^ ` { | }'
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("https", "http"):
        return "start with https:// or http:// and the name of a host"
    if not re.fullmatch(r"\[?[\w:]([\w.:-]*[\w:])?\]?", host) or ".." in host:
        return "have a valid host"
    if parts.username is not None:
        return "have no user name or password"
    try:
        _ = parts.port
    except ValueError:
        return "have a port from 0 to 65535"
    if parts.query or parts.fragment:
        return "have no ? and no #"
    return ""
