"""A process in the place of Apple's interpreter that answers as a hostile one would."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from pocketlens.processes import Answer, serve

ROW = {"name": "x", "dtype": "float32", "shape": [2]}
FUNCTION = {"name": "main", "inputs": [ROW], "outputs": [ROW], "states": []}


def answer(head: dict[str, Any], _: bytes) -> Answer:
    if head["op"] == "open":
        return opened()
    run = os.environ["ODD"]
    if run == "crash":
        sys.stderr.write('loc("secret.py":1:2): error: invalid index\n')
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGSEGV)
    if run == "hang":
        time.sleep(600)
    if run == "memory":
        return {"memory": True}, b""
    if run == "error":
        return {"error": "not\na line \x1b[31m"}, b""
    if run == "other outputs":
        return {"outputs": [], "states": []}, b""
    if run == "too few bytes":
        return {"outputs": [ROW], "states": []}, b"1234"
    if run == "too many bytes":
        return {"outputs": [ROW], "states": []}, bytes(16)
    if run == "objects":
        return {"outputs": [{**ROW, "dtype": "object"}], "states": []}, bytes(16)
    if run == "negative shape":
        return {"outputs": [{**ROW, "shape": [-1]}], "states": []}, bytes(8)
    return {"outputs": [ROW], "states": []}, bytes(8)


def opened() -> Answer:
    if os.environ["ODD"] == "no functions":
        return {"functions": []}, b""
    if os.environ["ODD"] == "wrong functions":
        return {"functions": [{"name": 1}]}, b""
    if os.environ["ODD"] == "huge":
        return {"functions": [FUNCTION]}, bytes(2000)
    if os.environ["ODD"] == "garbage":
        write_raw(b"garbage\n")
    if os.environ["ODD"] == "a list":
        write_raw(json.dumps([1]).encode() + b"\n")
    return {"functions": [FUNCTION]}, b""


def write_raw(data: bytes) -> None:
    """To the parent: the pipe, which is no longer the standard output."""
    for number in range(3, 20):
        link = Path(f"/proc/self/fd/{number}")
        if link.exists() and "pipe:" in str(link.readlink()):
            os.write(number, data)


if __name__ == "__main__":
    serve(answer)
