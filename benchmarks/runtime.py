"""The Core ML runtime compared with PyTorch, and with ONNX Runtime on PyTorch's own export.

    python benchmarks/runtime.py                # all networks
    python benchmarks/runtime.py quick vit      # these

Every contender runs in a separate process, one image at a time. The contenders take turns for
`ROUNDS` rounds, so that a slow phase of the machine affects all of them. Load: the time until the
model is ready (PyTorch: creating the network with random weights). Memory: peak memory of the
process, minus its peak before the model was loaded; read from Linux's /proc.

`onnx` is PyTorch's own export of all that the Core ML file computes: scaling of the pixels,
network, softmax. `graph` is our ONNX export of the Core ML file, run in the same way: numbers in,
numbers and the label out. `float32` and `float16` are complete calls of `run`: an image in, a label
and a dictionary of probabilities out. That adds some hundredths of a millisecond for any network.

Claims: in float32, the graph takes at most 1.1 times as long per image as PyTorch's own export, and
so does a complete `run` for the large networks; it needs at most 1.3 times the size of the weights,
plus the size of the loaded code, more memory than ONNX Runtime needs for that export.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from measure import write

ROUNDS = 5
SECONDS = 1.0
"""The minimum time that each contender runs in a round."""

MOST_TIME, MOST_MEMORY = 1.1, 1.3
MODULES = 16
"""Megabytes of code and of ONNX's operator tables, loaded with the first model of any size."""

LARGE = {"resnet50": "resnet50_like", "mobilenet": "mobilenet_like", "vit": "vit_like"}
SMALL = ("quick", "classic", "tiny", "digits", "best")

CONTENDERS = ("pytorch", "onnx", "graph", "float32", "float16")


def network(name: str) -> tuple[Any, Any]:
    """The network with random weights from seed 0, and its InputSpec."""
    import torch

    from pocketlens import networks
    from pocketlens.image import InputSpec
    from pocketlens.recipe import load_recipe

    torch.manual_seed(0)
    if name in LARGE:
        import architectures

        spec = InputSpec(224, 224, "rgb")
        return getattr(architectures, LARGE[name])().eval(), spec
    recipe = load_recipe(name)
    return networks.build(recipe.network, recipe.input, 10).eval(), recipe.input


def whole(module: Any, spec: Any) -> Any:
    """Pixels 0-255 `(N, C, H, W)` -> probabilities, as in the Core ML file."""
    import torch

    class Scaled(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            x = x * torch.tensor(spec.scale).reshape(1, -1, 1, 1)
            return x + torch.tensor(spec.bias).reshape(1, -1, 1, 1) if any(spec.bias) else x

    return torch.nn.Sequential(Scaled(), module, torch.nn.Softmax(1)).eval()


def files(name: str, folder: Path) -> None:
    """Write the contenders' files: two Core ML files, PyTorch's own ONNX export, and ours."""
    import torch

    from pocketlens import convert, load

    module, spec = network(name)
    with torch.no_grad():
        classes = module(torch.zeros(1, spec.channels, spec.height, spec.width)).shape[1]
    labels = [f"class {number}" for number in range(classes)]
    for precision in ("float32", "float16"):
        convert(
            module, folder / f"{precision}.mlpackage", precision=precision, labels=labels,
            input_spec=spec,
        )  # fmt: skip
    load(folder / "float32.mlpackage").to_onnx(folder / "graph.onnx")
    blank = torch.zeros(1, spec.channels, spec.height, spec.width)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the new exporter needs more
        torch.onnx.export(whole(module, spec), (blank,), folder / "onnx.onnx", dynamo=False)


def ready(contender: str, name: str, folder: Path) -> Callable[[], object]:
    """Load a contender's model; return a function that classifies one image with it."""
    random = np.random.default_rng(0)
    if contender == "pytorch":
        import torch

        module, spec = network(name)
        complete = whole(module, spec)
        x = torch.rand(1, spec.channels, spec.height, spec.width)

        def ask() -> object:
            with torch.inference_mode():
                return complete(x)

        return ask
    if contender in ("onnx", "graph"):
        import onnxruntime

        session = onnxruntime.InferenceSession(folder / f"{contender}.onnx")
        given = session.get_inputs()[0]
        feed = {given.name: random.random(given.shape, np.float32)}
        return lambda: session.run(None, feed)
    from pocketlens.coreml import load

    model = load(folder / f"{contender}.mlpackage")
    spec = model.input_spec
    image = random.integers(0, 256, (spec.height, spec.width, spec.channels), np.uint8)
    return lambda: model.run({"image": image})


def peak() -> float:
    """Peak memory of this process, in megabytes. `getrusage` would include its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def contend(contender: str, name: str, folder: Path) -> dict[str, float]:
    """Runs in a separate process: load the model, then classify an image repeatedly."""
    if contender == "pytorch":
        import torch  # noqa: F401 - the import is not part of the load time
    else:
        import onnxruntime  # noqa: F401
    if contender.startswith("float"):
        import pocketlens.coreml.runtime.graph_model  # noqa: F401
    before, began = peak(), time.perf_counter()
    ask = ready(contender, name, folder)
    load = time.perf_counter() - began
    ask()
    times: list[float] = []
    while sum(times) < SECONDS or len(times) < 5:
        began = time.perf_counter()
        ask()
        times.append(time.perf_counter() - began)
    return {
        "milliseconds": statistics.median(times) * 1000,
        "load_seconds": load,
        "megabytes": peak() - before,
    }


def measured(name: str) -> dict[str, Any]:
    """Run all contenders in turn; medians over the rounds."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files(name, folder)
        rounds: dict[str, list[dict[str, float]]] = {each: [] for each in CONTENDERS}
        for _ in range(ROUNDS):
            for contender, found in rounds.items():
                words = [sys.executable, __file__, "--contend", contender, name, temporary]
                done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
                found.append(json.loads(done.stdout.splitlines()[-1]))
        weights = sum(f.stat().st_size for f in (folder / "float32.mlpackage").rglob("*.bin"))
    row = {
        contender: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for contender, found in rounds.items()
    }
    ratios = {
        contender: statistics.median(
            ours["milliseconds"] / theirs["milliseconds"]
            for ours, theirs in zip(rounds[contender], rounds["onnx"], strict=True)
        )
        for contender in ("graph", "float32")
    }
    more = row["float32"]["megabytes"] - row["onnx"]["megabytes"]
    found = {
        **row,
        "times_of_onnx": ratios["graph"],
        "run_times_of_onnx": ratios["float32"],
        "weights_megabytes": weights / 2**20,
        "more_megabytes_than_onnx": more,
    }
    print(
        f"{name}: {row['graph']['milliseconds']:.3f} ms, run {row['float32']['milliseconds']:.3f}, "
        f"{row['float16']['milliseconds']:.3f} in float16; PyTorch's ONNX "
        f"{row['onnx']['milliseconds']:.3f}, PyTorch {row['pytorch']['milliseconds']:.3f}; "
        f"{ratios['graph']:.2f} times PyTorch's ONNX, run {ratios['float32']:.2f}; {more:+.0f} MB",
        flush=True,
    )
    return found


def main(names: list[str]) -> None:
    """Measure, write the results, and report the claims that do not hold."""
    found = {name: measured(name) for name in names}
    write(__file__, found)
    wrong = [
        f"{name}: {row[key]:.2f} times as long as PyTorch's ONNX ({key}); claimed {MOST_TIME}"
        for name, row in found.items()
        for key in ("times_of_onnx", *(["run_times_of_onnx"] if name in LARGE else []))
        if row[key] > MOST_TIME
    ] + [
        f"{name}: {row['more_megabytes_than_onnx']:.0f} MB more than PyTorch's ONNX"
        for name, row in found.items()
        if row["more_megabytes_than_onnx"] > MOST_MEMORY * row["weights_megabytes"] + MODULES
    ]
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contend"]:
        _, _, contender, name, folder = sys.argv
        print(json.dumps(contend(contender, name, Path(folder))))
    else:
        main(sys.argv[1:] or [*SMALL, *LARGE])
