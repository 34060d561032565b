"""Who may use the preview: everyone with the address and its token, or an invitation to a duel.

The token is in the address that the command prints, and in the QR code. The first request exchanges
it for a cookie, so that it does not stay in the browser's address bar. Programs send it in the
header `Authorization: Bearer TOKEN`. Who opens the link to a duel becomes a guest: the page, the
models' names, live frames and this one duel.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from starlette.datastructures import Headers

__all__ = ["GUEST", "HOST", "Access", "Invitations", "NoInvitations", "Visitor"]

TOKEN_BYTES = 16
"""128 bits: enough never to be guessed, and a QR code that fits into a terminal."""

SINGLE_USE_SECONDS = 60.0
"""How long the address works that the command gives to the browser."""

MAX_TRIES, TRIES_SECONDS = 20, 60.0
"""Wrong codes of duels from one address, within this time."""

MAX_ADDRESSES = 1000

GUEST = "pocketlens.guest"
"""The key in an ASGI scope with the code of the guest's duel; None for the host."""


@dataclass(frozen=True)
class Visitor:
    """Who sends a request.

    Args:
        duel: The code of the duel that a guest is invited to; None for the host.
    """

    duel: str | None = None

    def may_request(self, method: str, path: str) -> bool:
        """Whether a request is allowed; `path` is also that of a WebSocket."""
        if self.duel is None:
            return True
        if path.startswith("/ws/"):
            return path == "/ws/live" or path.upper() == f"/WS/DUEL/{self.duel}"
        if path.startswith("/bridge/"):  # where it leads to is checked, too
            return method in ("GET", "POST")
        is_api = path == "/api" or path.startswith("/api/")
        return method in ("GET", "HEAD") and (path == "/api/model" or not is_api)


HOST = Visitor()


class Invitations(Protocol):
    """The duels that guests may join."""

    def guest_token(self, code: str) -> str | None:
        """The token of a duel's guests; None if there is no duel with this code."""

    def duel_of_guest(self, token: str) -> str | None:
        """The code of the duel with this token."""


class NoInvitations:
    """A page without duels has no guests."""

    def guest_token(self, code: str) -> None:
        """None."""

    def duel_of_guest(self, token: str) -> None:
        """None."""


class Access:
    """Decides who may use the preview.

    Args:
        token: The secret in the address.
        port: The port; browsers send a cookie to all ports of a computer, so it is in its name.
        secure: Whether the page is served over HTTPS.
        duels: The duels that guests may join.
        clock: The current time in seconds.
    """

    def __init__(
        self,
        token: str,
        *,
        port: int,
        secure: bool,
        duels: Invitations,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.token = token
        self.cookie_name = f"pocketlens-{port}"
        self.secure = secure
        self.duels = duels
        self.clock = clock
        self.single_use: dict[str, float] = {}
        """Tokens for one request, and until when they are valid."""
        self.tries: OrderedDict[str, list[float]] = OrderedDict()
        """When an address sent wrong codes of duels."""

    @staticmethod
    def new_token() -> str:
        """A random secret for a URL."""
        return secrets.token_urlsafe(TOKEN_BYTES)

    def new_single_use_token(self) -> str:
        """A token that works once and soon: other users of a computer can see the addresses that
        are given to its browser."""
        token = self.new_token()
        self.single_use[token] = self.clock() + SINGLE_USE_SECONDS
        return token

    def visitor(self, headers: Headers) -> Visitor | None:
        """Who sent a request with these headers; None without a valid token."""
        for given in self._given(headers):
            if _equal(given, self.token):
                return HOST
            if (duel := self.duels.duel_of_guest(given)) is not None:
                return Visitor(duel)
        return None

    def exchange(self, token: str) -> bool:
        """Whether the token in an address is right. A token for one request is used up."""
        valid = _equal(token, self.token)
        for each, until in list(self.single_use.items()):
            if _equal(token, each):
                del self.single_use[each]
                valid = self.clock() < until
        return valid

    def invited(self, code: str, address: str) -> str | None:
        """The token for the guest of a duel; None if there is no such duel.

        Args:
            code: The code in the link.
            address: Where the request comes from; after `MAX_TRIES` wrong codes it gets None.
        """
        now = self.clock()
        tries = [at for at in self.tries.pop(address, []) if now < at + TRIES_SECONDS]
        token = self.duels.guest_token(code) if len(tries) < MAX_TRIES else None
        if token is None and len(tries) < MAX_TRIES:
            tries.append(now)
        if tries:
            self.tries[address] = tries
            if len(self.tries) > MAX_ADDRESSES:
                self.tries.popitem(last=False)
        return token

    def cookie(self, token: str) -> str:
        """The header `Set-Cookie` that keeps a token."""
        secure = "; Secure" if self.secure else ""
        return f"{self.cookie_name}={token}; Path=/; HttpOnly; SameSite=Strict{secure}"

    def _given(self, headers: Headers) -> list[str]:
        """The tokens in a request's headers; other pages of this computer may have set more."""
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = [bearer.strip()] if scheme.lower() == "bearer" else []
        for line in headers.getlist("cookie"):
            pairs = (pair.strip().partition("=") for pair in line.split(";"))
            given += [value for name, _, value in pairs if name == self.cookie_name]
        return given[:10]


def _equal(one: str, other: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())
