"""What the commands that serve a page share: the printed address, and the end by Ctrl-C."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketlens.cli.failures import INTERRUPTED
from pocketlens.cli.shell import print_json, say

if TYPE_CHECKING:
    from pocketlens.preview.server import Address

__all__ = ["Lan", "OpenPage", "Port", "announce", "interruptible"]

Port = Annotated[int, typer.Option(help="The port; 0 for any free port.", min=0, max=65535)]
Lan = Annotated[bool, typer.Option("--lan", help="Serve on the local network, over HTTPS.")]
OpenPage = Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")]


def announce(address: Address, *, lan: bool, open_page: bool, as_json: bool, **more: Any) -> None:
    """Print the address of a page, and open it.

    Args:
        address: The address.
        lan: Whether it is for a phone, which scans a code.
        open_page: Whether to open it, if it is for this computer.
        as_json: Print JSON.
        more: Printed as JSON, too.
    """
    from pocketlens.qr_code import qr_text

    if as_json:
        found = {"address": address.page, "origin": address.origin, "token": address.token}
        print_json({**found, **more}, indent=None)
    elif lan:
        say(*qr_text(address.page).split("\n"))
        say(
            "Scan the code with a phone on this network. Its browser warns about an unknown "
            "certificate, because the certificate was created for this run: continue anyway."
        )
    if not as_json:
        say(f"{address.page}   (press Ctrl-C to stop)", flush=True)
    if open_page and not lan:
        typer.launch(address.page_once)


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends the block and the process, also while a model runs."""
    from pocketlens.preview.inference import MODEL_THREADS
    from pocketlens.preview.threads import wait_for_threads

    try:
        yield
    except KeyboardInterrupt:
        if not wait_for_threads(MODEL_THREADS, seconds=1):
            # ONNX Runtime would crash at Python's exit while it runs a model in a thread.
            say("pocketlens: interrupted", error=True)
            os._exit(INTERRUPTED)
        raise
