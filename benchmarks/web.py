"""The website in headless Chromium: first load, frames per second, memory, and the same answers.

    python benchmarks/web.py                              # about eight minutes on two cores
    python benchmarks/web.py --only speed                 # a part; web.json is not written
    python benchmarks/web.py --cats ../shared/data/cats   # photos: a folder per class

The window is a phone's (390 × 844), and `load` and `speed` throttle the processor to a quarter of
its speed. Chromium throttles a page but not its workers, so `speed` runs the engine in the page.
Needs Playwright, Chromium and npm; real MNIST in $POCKETLENS_DATA.

- `load`: bytes of the first visit, and seconds until the first answer, from a server on this
  computer.
- `speed`: frames of 640 × 480 per second, cropped, resized and classified, one after the other, by
  the page's own engine and by onnxruntime-web in turn; `digits` with random weights, and the photos
  model at 224 px.
- `memory`: before and after 10,000 frames of `digits` in the page's worker, after collections.
- `answers`: 10,000 MNIST test images and 200 photos in the page and by the Core ML file here.

Claims: 20 frames per second for `digits`; the own engine takes at most 3 times as long as
onnxruntime-web; memory does not grow; all labels are equal, and probabilities to 1e-3, with float16
to 5e-3.
"""

from __future__ import annotations

import argparse
import base64
import functools
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

import pocketlens
from measure import write
from pocketlens import networks
from pocketlens.coreml import load
from pocketlens.recipe import load_recipe
from pocketlens.web import find_browser
from pocketlens.web.check import site_sizes
from web_page import FILE, FIRST, MANY, PIXELS, SPEED, START, Worker, served, visited

PARTS = ("load", "speed", "memory", "answers")
ENGINES = ("pocketlens", "onnxruntime")
SLOWER = 4
ROUNDS, SECONDS = 3, 5.0
FRAMES, WARM = 10_000, 1_000
DIGITS, PHOTOS = 10_000, 200
LEAST_FRAMES, MOST_RATIO, MOST_GROWTH = 20, 3, 1_000_000
TOLERANCES = {"float32": 1e-3, "float16": 5e-3}


def random_digits(folder: Path) -> Path:
    """The network of `digits` with random weights from seed 0."""
    import torch

    torch.manual_seed(0)
    recipe = load_recipe("digits")
    classes = (*"0123456789", "nothing")
    network = networks.build(recipe.network, recipe.input, len(classes))
    recognizer = pocketlens.Recognizer(network, recipe.network, classes, recipe.input)
    return Path(pocketlens.convert(recognizer, folder / "Digits.mlpackage"))


@functools.cache
def trained(recipe: str, source: str, folder: Path) -> Path:
    """The folder of a short run."""
    overrides = [f"data.source={source}"]
    return pocketlens.run(recipe, out=folder / recipe, overrides=overrides, until="convert").folder


def photos_file(cats: str, folder: Path) -> Path:
    return next(trained("photos", f"folder:{cats}", folder).glob("*.mlpackage"))


def site(file: Path, engine: str, folder: Path) -> Path:
    return pocketlens.create_web(file, folder / f"{file.stem}-{engine}", engine=engine)


def first_load(browser: Browser, sites: dict[str, Path]) -> dict[str, Any]:
    found = {}
    for name, folder in sites.items():
        seconds = []
        with served(folder) as address:
            for _ in range(ROUNDS):
                with visited(browser, address, slower=SLOWER, offline=True) as (page, _):
                    seconds.append(page.evaluate(FIRST) / 1000)
        found[name] = {"bytes": site_sizes(folder), "seconds": statistics.median(seconds)}
    return found


def speed(browser: Browser, sites: dict[str, Path]) -> dict[str, Any]:
    """Milliseconds of a frame: the smallest median of several rounds, by model and engine."""
    times: dict[str, list[float]] = {name: [] for name in sites}
    for _ in range(ROUNDS):
        for name, folder in sites.items():
            with (
                served(folder) as address,
                visited(browser, address, slower=SLOWER) as (page, _),
            ):
                page.evaluate(START)
                times[name].append(statistics.median(page.evaluate(SPEED, SECONDS)))
    return {
        name: {"milliseconds": min(each), "frames_per_second": 1000 / min(each)}
        for name, each in times.items()
    }


def memory(browser: Browser, folder: Path, frames: int) -> dict[str, Any]:
    """Heaps of the page and of its worker, with buffers and WebAssembly, in bytes."""
    with served(folder) as address, visited(browser, address, slower=1) as (page, session):
        page.evaluate(MANY, min(WARM, frames))
        worker = Worker(page, session)

        def now() -> dict[str, int]:
            found = {}
            for name, send in (("page", session.send), ("worker", worker.send)):
                for _ in range(2):
                    send("HeapProfiler.collectGarbage")
                usage = send("Runtime.getHeapUsage")
                found[name] = int(usage["usedSize"] + usage["backingStorageSize"])
            return found

        before = now()
        page.evaluate(MANY, frames)
        after = now()
    growth = sum(after.values()) - sum(before.values())
    return {"frames": frames, "before": before, "after": after, "growth_bytes": growth}


def expected(file: Path, images: list[Any]) -> NDArray[np.float64]:
    """The Core ML file's probabilities here."""
    return np.array([list(each.probabilities.values()) for each in load(file).predict(images)])


def compared(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "images": len(found),
        "labels_equal": float((found.argmax(1) == wanted.argmax(1)).mean()),
        "largest_difference": float(np.abs(found - wanted).max()),
    }


def digit_answers(browser: Browser, file: Path, folder: Path, count: int) -> dict[str, Any]:
    images = pocketlens.load_data("mnist", split="test").images[:count]
    site = pocketlens.create_web(file, folder)
    rows: list[list[float]] = []
    with served(site) as address, visited(browser, address, slower=1) as (page, _):
        for part in np.array_split(images, max(1, count // 1000)):
            text = base64.b64encode(np.ascontiguousarray(part).tobytes()).decode()
            rows += page.evaluate(PIXELS, [images.shape[1], text])
    return compared(np.array(rows), expected(file, list(images[..., 0])))


def photo_files(cats: Path, folder: Path, count: int) -> list[Path]:
    """The photos as they are, then parts of them as PNG, JPEG and WebP of other sizes."""
    random = np.random.default_rng(0)
    found = sorted(cats.glob("*/*.jpg"))
    originals = len(found)
    folder.mkdir()
    while len(found) < count:
        source = found[len(found) % originals]
        kind = ("png", "jpg", "webp")[len(found) % 3]
        with Image.open(source) as image:
            photo = image.convert("RGB")
        left, top = (random.uniform(0, 0.3, 2) * photo.size).astype(int).tolist()
        part = photo.crop((left, top, photo.width, photo.height))
        part = part.resize((int(random.integers(90, 900)), int(random.integers(90, 900))))
        target = folder / f"{len(found)}.{kind}"
        part.save(target, quality=92, lossless=True)
        found.append(target)
    return found[:count]


def photo_answers(browser: Browser, file: Path, files: list[Path], folder: Path) -> dict[str, Any]:
    site = pocketlens.create_web(file, folder)
    with served(site) as address, visited(browser, address, slower=1) as (page, _):
        rows = [page.evaluate(FILE, base64.b64encode(path.read_bytes()).decode()) for path in files]
    return compared(np.array(rows), expected(file, files))


def answers(browser: Browser, cats: Path, folder: Path, scale: float) -> dict[str, Any]:
    found = {}
    files = photo_files(cats, folder / "photos-in", max(1, int(PHOTOS * scale)))
    quick = trained("quick", "mnist", folder)
    photos = trained("photos", f"folder:{cats}", folder)
    for precision in TOLERANCES:
        for name, run in (("digits", quick), ("photos", photos)):
            file = folder / f"{name}-{precision}.mlpackage"
            pocketlens.convert(pocketlens.Recognizer.load(run), file, precision=precision)
            target = folder / f"answers-{name}-{precision}"
            found[f"{name}, {precision}"] = (
                digit_answers(browser, file, target, max(1, int(DIGITS * scale)))
                if name == "digits"
                else photo_answers(browser, file, files, target)
            )
    return found


def measured(browser: Browser, parts: list[str], cats: str, scale: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found: dict[str, Any] = {"chromium": browser.version, "throttled": SLOWER}
        if {"load", "speed", "memory"} & set(parts):
            files = {"digits": random_digits(folder)}
            if {"load", "speed"} & set(parts):
                files["photos"] = photos_file(cats, folder)
            sites = {
                f"{model}, {engine}": site(file, engine, folder)
                for model, file in files.items()
                for engine in ENGINES
            }
        if "load" in parts:
            found["load"] = first_load(browser, sites)
        if "speed" in parts:
            found["speed"] = speed(browser, sites)
            found["ratio"] = {
                model: found["speed"][f"{model}, {ENGINES[0]}"]["milliseconds"]
                / found["speed"][f"{model}, {ENGINES[1]}"]["milliseconds"]
                for model in files
            }
        if "memory" in parts:
            found["memory"] = memory(browser, sites["digits, pocketlens"], int(FRAMES * scale))
        if "answers" in parts:
            found["answers"] = answers(browser, Path(cats), folder, scale)
        return found


def missed(found: dict[str, Any]) -> list[str]:
    """The claims that do not hold."""
    problems = []
    if "speed" in found:
        frames = found["speed"]["digits, pocketlens"]["frames_per_second"]
        if frames < LEAST_FRAMES:
            problems.append(f"{frames:.1f} frames per second of digits")
        problems += [
            f"{model}: {ratio:.1f} times as long as onnxruntime-web"
            for model, ratio in found["ratio"].items()
            if ratio > MOST_RATIO
        ]
    if "memory" in found and found["memory"]["growth_bytes"] > MOST_GROWTH:
        problems.append(f"memory grows by {found['memory']['growth_bytes']} bytes")
    for name, each in found.get("answers", {}).items():
        limit = TOLERANCES[name.split(", ")[1]]
        if each["labels_equal"] < 1 or each["largest_difference"] > limit:
            problems.append(f"{name}: {each}")
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=PARTS, action="append", help="repeatable")
    parser.add_argument("--cats", default="../shared/data/cats", help="photos, a folder per class")
    parser.add_argument("--scale", type=float, default=1.0, help="of the frames and images")
    options = parser.parse_args()
    program = find_browser()
    if program is None:
        raise SystemExit("Chromium is not installed")
    flags = ["--disable-dev-shm-usage"]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(program), args=flags)
        found = measured(browser, options.only or list(PARTS), options.cats, options.scale)
        browser.close()
    found["missed"] = missed(found)
    if options.only or options.scale != 1:
        print(json.dumps(found, indent=2))
    else:
        write(__file__, found)


if __name__ == "__main__":
    main()
