"""Helpers shared by the WebSocket endpoints."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

__all__ = [
    "MAX_TEXT",
    "MESSAGE_TOO_BIG",
    "POLICY_VIOLATION",
    "TRY_AGAIN_LATER",
    "close_with_reason",
    "run_until_first",
]

POLICY_VIOLATION, MESSAGE_TOO_BIG, TRY_AGAIN_LATER = 1008, 1009, 1013
"""Close codes of WebSockets (RFC 6455, section 7.4.1, and the IANA registry)."""

MAX_TEXT = 1000
"""The largest text message to the server, in bytes: all of them are a few words."""

MAX_REASON_BYTES = 123
"""The longest reason of a close frame, in bytes (RFC 6455, section 5.5)."""


async def run_until_first(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run coroutines concurrently until one of them ends, then cancel the others.

    Raises:
        Exception: The exception of a coroutine; an ExceptionGroup if several raised one.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if len(errors) > 1:
        raise ExceptionGroup("several errors", errors)
    if errors:
        raise errors[0]


async def close_with_reason(socket: WebSocket, code: int, reason: str) -> None:
    """Close a WebSocket with a reason; does nothing if the client has already disconnected."""
    short = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    with contextlib.suppress(WebSocketDisconnect):
        await socket.close(code, short)
