"""The preview's server: frames per second, latency, memory over minutes, seconds to the page.

    python benchmarks/preview.py                # about thirteen minutes
    python benchmarks/preview.py --minutes 1    # a shorter memory test

The model is the network of the recipe `digits` (48 × 48 gray) with random weights. The frames are
JPEG images of 640 × 480 pixels, as a page sends them from a camera. `pocketlens preview` runs in a
separate process; the pages are sockets in this process, each with one frame in flight. Both run on
the same computer, so the pages share its processors with the server.

Memory is the resident memory of the server (`VmRSS` in Linux's /proc), sampled every ten seconds
under load: frames, photos, damaged images, drawings of a duel, pages that are opened and closed.

Claims: one page gets at least 60 answers per second, half of them within 10 ms; the page can be
opened at most 1.5 s after the command starts; memory does not grow after the first tenth of the
time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image
from websockets.asyncio.client import connect

import pocketlens
from measure import write
from pocketlens import networks
from pocketlens.recipe import load_recipe

BEARER: dict[str, str] = {}
"""The header with the token of the preview that is measured."""

SECONDS = 10.0
"""How long each number of pages is measured, after a warm-up of one second."""

ROUNDS = 9
LEAST_FRAMES, MOST_MILLISECONDS, MOST_SECONDS, MOST_GROWTH = 60, 10, 1.5, 5
"""Limits: frames per second and median latency of one page, seconds to the page, megabytes."""


def model(folder: Path) -> Path:
    """The network of `digits` with random weights from seed 0."""
    import torch

    torch.manual_seed(0)
    recipe = load_recipe("digits")
    classes = (*"0123456789", "nothing")
    network = networks.build(recipe.network, recipe.input, len(classes))
    recognizer = pocketlens.Recognizer(network, recipe.network, classes, recipe.input)
    return Path(pocketlens.convert(recognizer, folder / "Digits.mlpackage"))


def frames(count: int = 16) -> list[bytes]:
    """Images of a stroke on paper, with camera noise."""
    random = np.random.default_rng(0)
    found = []
    for number in range(count):
        across, down = np.meshgrid(np.arange(640), np.arange(480))
        paper = 170 + 40 * across / 640 - 20 * down / 480
        ring = np.abs(np.hypot(across - 300 - 3 * number, down - 240) - 90) < 9
        noisy = np.where(ring, 60, paper)[..., None] + random.normal(0, 4, (480, 640, 3))
        file = BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=92)
        found.append(file.getvalue())
    return found


@contextmanager
def preview(file: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command as a process; yield it and the page's address."""
    words = [str(Path(sys.executable).parent / "pocketlens"), "preview", str(file), "--no-open"]
    words += ["--port", "0", "--json", *options]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    child = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert child.stdout is not None
        told = json.loads(child.stdout.readline())
        BEARER["Authorization"] = f"Bearer {told['token']}"
        yield child, told["origin"]
    finally:
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate()
        assert "Traceback" not in errors, errors


async def page(address: str, pictures: list[bytes], until: float) -> list[tuple[float, float]]:
    """For each answer, the time of arrival and the latency in milliseconds."""
    found = []
    socket = address.replace("http", "ws") + "/ws/live"
    options = {"proxy": None, "compression": None, "open_timeout": 60}
    async with connect(socket, additional_headers=BEARER, **options) as here:
        number = 0
        while time.perf_counter() < until:
            sent = time.perf_counter()
            await here.send(bytes(1) + number.to_bytes(4, "big") + pictures[number % len(pictures)])
            answer = json.loads(await here.recv())
            now = time.perf_counter()
            assert answer["id"] == number, answer
            assert "models" in answer, answer
            found.append((now, 1000 * (now - sent)))
            number += 1
    return found


async def load(address: str, pages: int, pictures: list[bytes]) -> dict[str, float]:
    """Measure the server with this many pages at the same time."""
    begin = time.perf_counter() + 1
    asked = (page(address, pictures, begin + SECONDS) for _ in range(pages))
    found = [
        [took for at, took in one if begin <= at < begin + SECONDS]
        for one in await asyncio.gather(*asked)
    ]
    took = sorted(each for one in found for each in one)
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    return {
        "pages": pages,
        "frames_per_second": len(took) / SECONDS,
        "median_milliseconds": cuts[49],
        "p95_milliseconds": cuts[94],
        "p99_milliseconds": cuts[98],
        "frames_of_the_page_with_fewest": min(map(len, found)),
        "frames_of_the_page_with_most": max(map(len, found)),
    }


def megabytes(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def visits(address: str, pictures: list[bytes], until: float) -> None:
    """Repeat everything else that pages and other programs do."""
    sockets = address.replace("http", "ws")
    async with httpx.AsyncClient(
        base_url=address, headers=BEARER, trust_env=False, timeout=60
    ) as client:
        number = 0
        while time.perf_counter() < until:
            picture = pictures[number % len(pictures)]
            for content in (picture, b"no picture", os.urandom(2000)):
                await client.post("/api/predict", params={"seen": 1}, content=content)
            await client.post("/api/corrections", params={"label": "7"}, content=picture)
            paths = ["/ws/live"]
            if number % 10 == 0:  # an empty room is kept for a while
                paths.append("/ws/duel/" + (await client.post("/api/duels")).json()["code"])
            for path in paths:
                async with connect(
                    sockets + path, additional_headers=BEARER, proxy=None, open_timeout=60
                ) as here:
                    await here.send(bytes(5) + os.urandom(2000))
                    await here.send(bytes(5) + picture)
                    await here.recv()
            number += 1
            await asyncio.sleep(0.2)


async def memory(address: str, process: int, minutes: float, pictures: list[bytes]) -> list[float]:
    """The memory of the server under load, in megabytes, every ten seconds."""
    until = time.perf_counter() + 60 * minutes
    busy = [page(address, pictures, until) for _ in range(4)]
    work = asyncio.gather(*busy, visits(address, pictures, until))
    found = []
    while time.perf_counter() < until:
        await asyncio.sleep(10)
        found.append(megabytes(process))
    await work
    return found


def flatness(samples: list[float]) -> dict[str, Any]:
    """Medians of the second and of the last tenth of the samples, and the maximum of all."""
    tenth = max(1, len(samples) // 10)
    early = statistics.median(samples[tenth : 2 * tenth])
    late = statistics.median(samples[-tenth:])
    return {"early": early, "late": late, "most": max(samples), "every_ten_seconds": samples}


def seconds_to_the_page(file: Path) -> float:
    """Median time from process start to the page's last byte, with compiled bytecode."""
    found = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        with preview(file) as (_, address):
            httpx.get(address, headers=BEARER, trust_env=False, timeout=60).raise_for_status()
            found.append(time.perf_counter() - began)
    return statistics.median(found[1:])


def main(minutes: float) -> None:
    """Measure, write the results, and report the claims that do not hold."""
    pictures = frames()
    with tempfile.TemporaryDirectory() as folder:
        file = model(Path(folder))
        found: dict[str, Any] = {"seconds_to_the_page": seconds_to_the_page(file)}
        print(f"page after {found['seconds_to_the_page']:.2f} s", flush=True)
        with preview(file) as (_, address):
            found["load"] = [asyncio.run(load(address, n, pictures)) for n in (1, 8, 64)]
        for row in found["load"]:
            print({key: round(value, 1) for key, value in row.items()}, flush=True)
        with preview(file, "--collect", str(Path(folder) / "kept")) as (child, address):
            samples = asyncio.run(memory(address, child.pid, minutes, pictures))
        found["memory_minutes"] = minutes
        found["megabytes"] = flatness(samples)
    write(__file__, found)
    one, held = found["load"][0], found["megabytes"]
    claims = {
        "frames per second of one page": one["frames_per_second"] >= LEAST_FRAMES,
        "median latency of one page": one["median_milliseconds"] < MOST_MILLISECONDS,
        "seconds to the page": found["seconds_to_the_page"] <= MOST_SECONDS,
        "flat memory": held["late"] - held["early"] <= MOST_GROWTH,
    }
    if wrong := [claim for claim, holds in claims.items() if not holds]:
        raise SystemExit(f"these claims do not hold: {', '.join(wrong)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="duration of the memory test")
    main(parser.parse_args().minutes)
