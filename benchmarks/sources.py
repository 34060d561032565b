"""Models of other frameworks, converted and compared with their sources: what is converted.

    python benchmarks/sources.py                   # the cases that are not in the JSON yet
    python benchmarks/sources.py --only "Keras 3"  # of one framework
    python benchmarks/sources.py --minutes 30      # stop after that time

Each case is converted in float32 and runs here on images or arrays that `convert` itself does not
use. `worst` is the largest difference of a probability, or of other outputs as a share of the
largest number; `varies` is how much the outputs differ from input to input, because a comparison
of networks that always say the same proves nothing; `rounding` is how far the source of a
classifier of images itself moves if its weights and pixels are rounded otherwise. The networks of
keras.applications have random weights, scaled layer by layer, and small images; each runs in a
process of its own, with five minutes of the CPU and 3 GB. Models of tables have a table of their
own, from classic.py.

The page "What can be converted" of the site is made from the JSON.
"""

# ruff: noqa: E402 - helpers of the tests are imported after `sys.path` is set

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "tests"))

import keras2
import keras_cases
import torch_cases
import torch_networks
from keras_cases.networks import NETWORKS, network, scenes, side_of
from pocketlens.conversion import KerasPredictor, convert, from_keras, open_source, verify_arrays
from pocketlens.conversion.source_kinds import ArraySource, ImageSource, SourceOptions
from pocketlens.coreml import load
from pocketlens.errors import CheckFailedError, ConversionError
from pocketlens.image import InputSpec

RESULTS = HERE / "sources.json"
LARGE = ("ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtXLarge", "EfficientNetB7", "EfficientNetV2L")
"""More than 60 million parameters: too much memory for the machine of the benchmarks."""
SECONDS, BYTES = 300, 3 << 30
NOT_YET = "not measured yet"
LABELS = ("a", "b", "c")
SPEC = InputSpec(12, 12, "rgb", (4 / 255,), (-2.0,))


class Case(NamedTuple):
    """One model: the row of the table that it belongs to, its name, and how it is measured."""

    framework: str
    kind: str
    name: str
    source: Callable[[Path], Any]
    apart: bool = False


def cases() -> Iterator[Case]:
    """All models."""
    for name in torch_networks.NETWORKS:
        yield Case("PyTorch", f"{name}, a module", name, partial(module_source, name))
        yield Case("PyTorch", f"{name}, a .pt2 file", name, partial(program_source, name))
        yield Case("ONNX", f"{name}, exported by PyTorch", name, partial(onnx_source, name))
    for name in NETWORKS:
        make = partial(application_source, name)
        yield Case("Keras 3", f"keras.applications.{name}", name, make, apart=True)
    for name in keras_cases.ROWS:
        kind = f"layer {keras_cases.layer_of(name)}"
        yield Case("Keras 3", kind, name, partial(layer_source, name))
    for name in keras_cases.ROWS:
        kind = f"layer {keras_cases.layer_of(name)}"
        if kind not in ("layer Lambda", "layer TorchModuleWrapper"):
            yield Case("Keras 2 (.h5)", kind, name, partial(legacy_source, name))
    for name in torch_cases.ROWS:
        kind = f"op {name.partition('(')[0]}"
        yield Case("PyTorch", kind, name, partial(op_source, name))


def module_source(name: str, folder: Path) -> Any:  # noqa: ARG001 - others need a folder
    module, example = torch_networks.made(name)
    return open_source(module, SourceOptions(inputs=list(example)))


def program_source(name: str, folder: Path) -> Any:
    import torch

    module, example = torch_networks.made(name)
    torch.export.save(torch.export.export(module, example), folder / "model.pt2")
    return open_source(folder / "model.pt2")


def onnx_source(name: str, folder: Path) -> Any:
    import torch

    module, example = torch_networks.made(name)
    path = folder / "model.onnx"
    torch.onnx.export(module, example, str(path), dynamo=False, opset_version=17, verbose=False)
    return open_source(path)


def application_source(name: str, folder: Path) -> Any:  # noqa: ARG001
    keras, side = from_keras._import_keras(), side_of(name)
    return open_source(KerasPredictor(network(keras, name), LABELS, InputSpec(side, side, "rgb")))


def layer_source(name: str, folder: Path) -> Any:  # noqa: ARG001
    keras = from_keras._import_keras()
    return open_source(KerasPredictor(keras_cases.model(keras, name), LABELS, SPEC))


def legacy_source(name: str, folder: Path) -> Any:
    path = keras2.write_h5(folder / "model.h5", keras_cases.model(from_keras._import_keras(), name))
    return open_source(path, SourceOptions(labels=LABELS, input_spec=SPEC))


def op_source(name: str, folder: Path) -> Any:  # noqa: ARG001
    module = torch_cases.network(name)
    return open_source(module, SourceOptions(labels=LABELS, input_spec=SPEC))


def measure(case: Case) -> dict[str, Any]:
    """Whether a model is converted, and how far the Core ML file differs from its source."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            source = case.source(folder)
            file = convert(source, folder / "Made", precision="float32")
        except (ConversionError, CheckFailedError) as error:
            found: dict[str, Any] = {"converted": False, "reason": str(error)[:300]}
        except ValueError as error:  # Keras builds two of its networks with TensorFlow only
            if "not available with the torch backend" not in str(error):
                raise
            found = {"skipped": "Keras does not build it with the torch backend"}
        else:
            found = {"converted": True, **compared(source, file)}
    return {**found, "seconds": round(time.perf_counter() - started, 1)}


def compared(source: ImageSource | ArraySource, file: Path) -> dict[str, float]:
    """The largest difference, and how much the outputs of the source vary."""
    if isinstance(source, ImageSource):
        images = scenes(source.input_spec.height, 8, 5)
        want = source.probabilities(images)
        worst = float(np.abs(load(file).probabilities(images) - want).max())
        moved = float(np.abs(source.moved(images, 0) - want).max())
        return {"worst": worst, "varies": float(want.std(0).max()), "rounding": moved}
    runs = [source.run(made_up(source, seed)) for seed in range(4)]
    found = [verify_arrays(source, file, made_up(source, seed)) for seed in range(4)]
    return {
        "worst": max(each.share for parity in found for each in parity.outputs),
        "varies": max(
            float(np.stack([run[name] for run in runs]).std(0).max()) for name in source.outputs
        ),
    }


def made_up(source: ArraySource, seed: int) -> dict[str, Any]:
    """Random numbers for each input."""
    random = np.random.default_rng(100 + seed)
    arrays: dict[str, Any] = {}
    for each in source.inputs:
        shape = tuple(size if isinstance(size, int) else 3 for size in each.shape)
        whole = each.dtype.startswith("int")
        values = random.integers(0, 10, shape) if whole else random.normal(size=shape)
        arrays[each.name] = values.astype(each.dtype)
    return arrays


def limited(case: Case) -> dict[str, Any]:
    """`measure` in a process of its own, with limits."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))

    done = subprocess.run(
        [sys.executable, __file__, "--one", f"{case.framework}: {case.kind}: {case.name}"],
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )
    if done.returncode:
        memory = "memory" in done.stderr.lower() or "MemoryError" in done.stderr
        skipped = "needs more than 3 GB here" if memory else "takes more than five minutes here"
        if not memory and done.returncode > 0:
            raise RuntimeError(done.stderr)
        return {"skipped": skipped}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Measure, and write the JSON after each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--one", default="")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--first", action="store_true", help="one case for each row of the table")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.one:
        (case,) = (
            each for each in cases() if f"{each.framework}: {each.kind}: {each.name}" == options.one
        )
        print(json.dumps(measure(case)))
        return
    out = options.out
    results = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    end = time.monotonic() + 60 * options.minutes
    for case in cases():
        rows = results.setdefault(case.framework, {}).setdefault(case.kind, {})
        title = f"{case.framework}: {case.kind}: {case.name}"
        known = case.name in rows and rows[case.name].get("skipped") != NOT_YET
        if options.only not in title or (known and not options.again):
            continue
        if options.first and rows:
            continue
        if time.monotonic() > end:
            break
        if case.name in LARGE:
            rows[case.name] = {"skipped": "more than 60 million parameters"}
        else:
            rows[case.name] = (limited if case.apart else measure)(case)
        print(title, rows[case.name], flush=True)
        text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
        out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
