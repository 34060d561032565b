"""What the endpoints of both kinds of WebSocket share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

__all__ = ["POLICY", "TRY_AGAIN_LATER", "first_of", "refuse"]

POLICY, TRY_AGAIN_LATER = 1008, 1013

MAX_REASON = 123
"""The longest reason of a close frame, in bytes (RFC 6455, section 5.5)."""


async def first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Run them side by side until one ends, then stop the others.

    Raises:
        Exception: What one of them raised; an ExceptionGroup when several did.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    faults = [each for each in ended if isinstance(each, Exception)]
    if len(faults) > 1:
        raise ExceptionGroup("several faults at once", faults)
    if faults:
        raise faults[0]


async def refuse(socket: WebSocket, code: int, reason: str) -> None:
    """Close a socket and say why; one that has left already is not told."""
    short = reason.encode()[:MAX_REASON].decode(errors="ignore")
    with contextlib.suppress(WebSocketDisconnect):
        await socket.close(code, short)
