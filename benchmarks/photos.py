"""Photos: a whole run on 400 generated photos of 1600 × 1200, and images decoded and embedded.

    python benchmarks/photos.py           # about five minutes on two cores
    python benchmarks/photos.py --quick   # 40 photos; its results are not written to photos.json

Two runs of `pocketlens run photos`, from process start to report: the second one finds the features
in the cache. Then images per second: decoded by Pocketlens, beside a plain Pillow loop that decodes
the whole photo; decoded and embedded by Pocketlens, beside a PyTorch DataLoader with two workers
and the same backbone in PyTorch; and embedded only, by ONNX Runtime, PyTorch and the Core ML
file of the run on Pocketlens' own runtime. Everything is measured in turn; the numbers are medians.

Claim: 400 photos take at most 60 s from process start to report on two cores.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

import pocketlens
from measure import write
from pocketlens import networks
from pocketlens.data.prepared import prepare_files
from pocketlens.image import InputSpec, prepare
from pocketlens.networks.backbone import Backbone
from pocketlens.recipe import load_recipe
from pocketlens.recognizer import planes
from pocketlens.run_folder import read_run
from pocketlens.training.features import Embedder

QUICK = "--quick" in sys.argv[1:]
PHOTOS = 40 if QUICK else 400
EMBEDDED = 16 if QUICK else 64
ROUNDS = 1 if QUICK else 3
CLASSES = ("ball", "box", "ring", "stick")


def generate(folder: Path) -> list[Path]:
    """Photos of one thing each, somewhere before a background, of about 350 KB each."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:1200, :1600].astype(np.float32)
    files = []
    for number in range(PHOTOS):
        name = CLASSES[number % len(CLASSES)]
        pixels = np.full((1200, 1600, 3), random.uniform(30, 220, 3), np.float32)
        for cells in (4, 12, 60, 300):
            depth = random.uniform(2, 25)
            coarse = random.normal(128, depth, (cells, cells, 3)).clip(0, 255).astype(np.uint8)
            fine = Image.fromarray(coarse).resize((1600, 1200), Image.Resampling.BICUBIC)
            pixels += np.asarray(fine, np.float32) - 128
        across, down = x - random.uniform(600, 1000), y - random.uniform(450, 750)
        angle, size = random.uniform(0, np.pi), random.uniform(150, 400)
        along = np.abs(across * np.cos(angle) + down * np.sin(angle))
        aside = np.abs(down * np.cos(angle) - across * np.sin(angle))
        radius = np.hypot(across, down)
        inside = {
            "ball": radius < size,
            "box": np.maximum(along, aside) < size,
            "ring": (radius < size) & (radius > 0.6 * size),
            "stick": (along < size) & (aside < 0.15 * size),
        }[name]
        shade = 1 - 0.3 * (down[inside] / size)[:, None]
        pixels[inside] = random.uniform(30, 220, 3) * shade
        files.append(folder / name / f"{number}.jpg")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(files[-1], quality=92)
    return files


def whole_run(photos: Path, out: Path, cache: Path) -> dict[str, Any]:
    """Wall and processor seconds of the command, and the seconds of its stages."""
    command = [str(Path(sys.executable).parent / "pocketlens"), "run", "photos"]
    command += ["--data", str(photos), "--out", str(out), "--force", "--json"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["POCKETLENS_CACHE"] = str(cache)
    started = time.perf_counter()
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    stages = read_run(out).stages
    return {
        "seconds": seconds,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_megabytes": usage.ru_maxrss / 1024,
        "stages": {"start": seconds - sum(stages.values()), **stages},
    }


class Photos(torch.utils.data.Dataset[torch.Tensor]):
    """As in a usual PyTorch script: the whole photo decoded, then scaled and cropped by Pillow."""

    def __init__(self, files: list[Path], spec: InputSpec) -> None:
        self.files = files
        self.spec = spec

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.files[index]) as image:
            return torch.from_numpy(prepare(image.convert("RGB"), self.spec).copy())


def rates(ways: dict[str, tuple[int, Callable[[], object]]]) -> dict[str, Any]:
    """Images per second of each way, measured in turn: medians, and ratios to the first way."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (count, call) in ways.items():
            started = time.perf_counter()
            call()
            found[name].append(count / (time.perf_counter() - started))
    medians = {name: statistics.median(values) for name, values in found.items()}
    first = next(iter(medians.values()))
    return {
        name: {"images_per_second": value, "pocketlens_is_faster_by": first / value}
        for name, value in medians.items()
    }


def compare(files: list[Path], model: Path) -> dict[str, Any]:
    recipe = load_recipe("photos")
    spec = recipe.input
    network = networks.build(recipe.network, spec, len(CLASSES)).eval()
    assert isinstance(network, Backbone)
    network.backbone.load_pretrained()  # type: ignore[operator]
    embed = Embedder(network, spec)
    core_ml = pocketlens.load(model)
    few = files[:EMBEDDED]
    images = prepare_files(few, spec)[0]
    embed.compute(images[:2])  # exports the backbone, which is not measured here

    def in_batches(compute: Callable[[Any], object], of: Any, size: int = 16) -> None:
        for start in range(0, len(of), size):
            compute(of[start : start + size])

    @torch.inference_mode()
    def in_torch(batch: Any) -> object:
        x = torch.as_tensor(batch).permute(0, 3, 1, 2)
        return network.features(planes(x, spec))

    def data_loader() -> DataLoader[torch.Tensor]:
        return DataLoader(Photos(few, spec), batch_size=16, num_workers=2)

    def decoded_and_embedded() -> None:
        in_batches(embed.compute, prepare_files(few, spec)[0])

    return {
        "decoded": rates(
            {
                "Pocketlens": (len(few), lambda: prepare_files(few, spec)),
                "PyTorch DataLoader": (len(few), lambda: [*data_loader()]),
            }
        ),
        "decoded and embedded": rates(
            {
                "Pocketlens": (len(few), decoded_and_embedded),
                "PyTorch": (len(few), lambda: [in_torch(batch) for batch in data_loader()]),
            }
        ),
        "embedded": rates(
            {
                "Pocketlens (ONNX Runtime)": (
                    len(few),
                    lambda: in_batches(embed.compute, images),
                ),
                "PyTorch": (len(few), lambda: in_batches(in_torch, images)),
                "the run's Core ML file, float16": (
                    len(few),
                    lambda: in_batches(core_ml.probabilities, images),
                ),
            }
        ),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = generate(folder / "photos")
        out, cache = folder / "run", folder / "cache"
        first = whole_run(folder / "photos", out, cache)
        again = whole_run(folder / "photos", out, cache)
        model = read_run(out).model
        assert model
        found = {
            "photos": PHOTOS,
            "run": first,
            "run with cached features": again,
            "rates": compare(files, model),
        }
    if QUICK:
        print(json.dumps(found, indent=2))
        return
    write(__file__, found)
    if first["seconds"] > 60:
        raise SystemExit("the claim does not hold")


if __name__ == "__main__":  # the workers of a DataLoader may import this file
    main()
