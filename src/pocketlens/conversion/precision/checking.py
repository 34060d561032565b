"""`check_float16`: what float16 does to a Core ML file, on data of the user or made-up data."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.array_probes import LARGE, probe_arrays
from pocketlens.conversion.core_ml_arrays import CoreMLArrays
from pocketlens.conversion.precision.device import device_faults, suspects
from pocketlens.conversion.precision.explaining import explained, number_range
from pocketlens.conversion.precision.findings import Float16Check, Float16Finding, LayerRange
from pocketlens.conversion.precision.search import Blame, Trials, difference
from pocketlens.conversion.probes import probe_images
from pocketlens.coreml import CoreMLModel, load
from pocketlens.coreml.file.time_limit import default_time_limit
from pocketlens.coreml.runtime.emulation import Operation, check_graph, runs_as_graph
from pocketlens.errors import DataError, FeatureError, UnsupportedModelError
from pocketlens.evaluation.array_cases import split_cases
from pocketlens.evaluation.array_files import load_arrays
from pocketlens.evaluation.arrays import ArrayModel
from pocketlens.image import InputSpec

__all__ = ["cases_of", "check_float16", "examine", "fitting_images", "float16_risks", "some"]

CASES = 6
"""How many images or arrays are enough to see what float16 does."""

Features = list[Mapping[str, Any]]


def check_float16(
    model: CoreMLModel | str | os.PathLike[str], data: Any = None, *, layers: bool = True
) -> Float16Check:
    """Run a Core ML file in float32 and in float16, op by op, and find what float16 spoils.

    Every op takes and returns tensors rounded to float16, and adds up in float32, as on Apple's
    Neural Engine; ops that the file computes in float32 stay in float32. A file in float32 is
    checked as if it were converted to float16. A neural network (`.mlmodel`) says nothing about its
    arithmetic, so all of it counts as float16. Published faults of the Neural Engine are found by
    the kind of the op and the range of its numbers; other differences between chips are not.

    Args:
        model: An ML Program or a neural network, or its path.
        data: Images `(N, H, W, C)` uint8 or a Dataset, prepared for the InputSpec of an image
            classifier; or an array for each input by its name, or the path of an `.npz`, `.npy` or
            `.csv` file. Up to six are used. None: made-up ones.
        layers: Whether to return the range of each op, too.

    Raises:
        UnsupportedModelError: The model has no tensors, such as trees or a pipeline, or they do not
            fit into memory.
        DataError: The data cannot be read, or do not fit the model.
        FeatureError: The model takes inputs that cannot be made up.
    """
    file = model if isinstance(model, CoreMLModel) else load(model, time_limit=default_time_limit())
    check_graph(file)
    trials = Trials(file, _features(file, data), made_up=data is None)
    return examine(trials, made_up=data is None, layers=layers)


def float16_risks(model: CoreMLModel, data: Any, *, layers: bool = False) -> Float16Check | None:
    """`check_float16` of a file that computes in float16, or may do so.

    None for any other, and if it cannot be said: the tensors do not fit into memory, or the model
    cannot process made-up inputs.
    """
    if not runs_as_graph(model):
        return None
    try:
        trials = Trials(model, _features(model, data), made_up=data is None)
    except UnsupportedModelError:
        return None
    except FeatureError:
        if data is None:
            return None
        raise
    return examine(trials, made_up=data is None, layers=layers) if trials.as_is else None


def _features(model: CoreMLModel, data: Any) -> Features:
    """The inputs of a few runs, from data of the user; made up if it is None."""
    only_image = model.interface.image is not None and len(model.interface.inputs) == 1
    if hasattr(data, "images") or (
        only_image and not isinstance(data, (Mapping, str, os.PathLike))
    ):
        if data is None:
            images, _ = probe_images(model.input_spec)
        else:
            images = fitting_images(model.input_spec, data)
        return [model.features_for(image) for image in some(images)]
    arrays = CoreMLArrays(model, rows=True)
    if data is None:
        cases = [each for kind, each in probe_arrays(arrays.inputs) if kind != LARGE]
    else:
        cases = cases_of(arrays, data)
    return [arrays.features(each) for each in some(cases)]


def fitting_images(spec: InputSpec, data: Any) -> Any:
    """Images `(N, H, W, C)` of a Dataset or an array.

    Raises:
        DataError: There are none, or they have another shape than the InputSpec.
    """
    images = getattr(data, "images", data)
    shape = getattr(images, "shape", ())
    if shape[1:] != spec.shape or not len(images):
        raise DataError(
            f"data is {shape or type(images).__name__}; expected images (N, {spec.height}, "
            f"{spec.width}, {spec.channels}) uint8 or a Dataset of them"
        )
    return images


def cases_of(model: ArrayModel, data: Any) -> list[dict[str, NDArray[Any]]]:
    """The arrays of each run, of a mapping or a path.

    Raises:
        DataError: They cannot be read, or do not fit the model.
    """
    sets = [dict(data)] if isinstance(data, Mapping) else load_arrays(data, model.inputs)
    return [case for each in sets for case in split_cases(model, each)]


def some(values: Sequence[Any] | NDArray[Any]) -> list[Any]:
    """A few of them, evenly spaced."""
    count = len(values)
    if count <= CASES:
        return list(values)
    return [values[round(at)] for at in np.linspace(0, count - 1, CASES)]


def examine(
    trials: Trials,
    *,
    made_up: bool,
    place: Callable[[str], str] = lambda _: "",
    layers: bool = False,
) -> Float16Check:
    """What float16 changes in these trials.

    Args:
        trials: The model on its inputs.
        made_up: Whether the inputs are made up.
        place: Where in its source an op comes from, as the end of a sentence.
        layers: Whether to return the range of each op.
    """
    change = max(trials.change(case, trials.candidates) for case in trials.cases)
    faults = _device_findings(trials, place)
    blamed = trials.search(kept={name for each in faults for name in (each.op, *each.others)})
    findings = [*faults, *_together([_finding(each, place) for each in blamed], trials)]
    order = list(trials.operations)
    findings.sort(key=lambda each: order.index(each.op))
    return Float16Check(
        ops=len(trials.candidates),
        of=len(trials.operations),
        cases=len(trials.cases),
        made_up=made_up,
        change=change,
        findings=tuple(findings),
        layers=_layers(trials) if layers else (),
    )


def _finding(blame: Blame, place: Callable[[str], str]) -> Float16Finding:
    fault, text, low, high = explained(blame)
    op, kind = blame.operation.name, blame.operation.kind
    return Float16Finding(op, kind, fault, low, high, blame.change, text, place(op))


def _together(findings: list[Float16Finding], trials: Trials) -> list[Float16Finding]:
    """The findings; an op that only takes what another one computes is among its `others`."""
    makers = {name: each.name for each in trials.operations.values() for name in each.outputs}
    firsts: dict[str, str] = {}  # each op -> the first one of those that belong together
    others: dict[str, tuple[str, ...]] = {}
    faults = {each.op: each.fault for each in findings}
    for each in findings:
        firsts[each.op] = each.op
        if each.fault in ("overflow", "underflow"):
            before = [makers.get(name, "") for name in trials.operations[each.op].inputs]
            for name in before:
                if name in firsts and faults[firsts[name]] in ("overflow", "underflow", "constant"):
                    firsts[each.op] = firsts[name]
                    others[firsts[name]] = (*others.get(firsts[name], ()), each.op)
                    break
    return [
        replace(each, others=others.get(each.op, ()))
        for each in findings
        if firsts[each.op] == each.op
    ]


def _device_findings(trials: Trials, place: Callable[[str], str]) -> list[Float16Finding]:
    """The published faults of the Neural Engine."""
    found: dict[str, Float16Finding] = {}
    half = set(trials.candidates)
    operations = [each for each in trials.operations.values() if each.name in half]
    if not suspects(operations):
        return []
    for case in trials.cases:
        tensors = case.emulation.run(case.features, (), intermediate=True)
        given = {k: v for k, v in case.features.items() if isinstance(v, np.ndarray)}
        for fault in device_faults(operations, given | tensors):
            first, *others = fault.ops
            low, high = number_range(_numbers(first, given | tensors))
            known = found.get(first.name)
            if known is None or high - low > known.largest - known.smallest:
                found[first.name] = Float16Finding(
                    first.name, first.kind, "neural engine", low, high, None, fault.text,
                    place(first.name), fault.source, tuple(each.name for each in others),
                )  # fmt: skip
    return list(found.values())


def _numbers(operation: Operation, tensors: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    names = (*operation.inputs, *operation.outputs)
    return [tensors[name] for name in names if name in tensors and tensors[name].dtype.kind == "f"]


def _layers(trials: Trials) -> tuple[LayerRange, ...]:
    """The range of each op over all cases."""
    rows: dict[str, list[tuple[float, float, float, float, float]]] = {}
    for case in trials.cases:
        exact = case.emulation.run(case.features, (), intermediate=True)
        half = case.emulation.run(case.features, trials.candidates, intermediate=True)
        for each in case.emulation.operations:
            names = [name for name in each.outputs if name in exact]
            made = [name for name in names if exact[name].dtype.kind == "f"]
            for name in made:
                rows.setdefault(each.name, []).append(_range(exact[name], half[name]))
    found = []
    for op, measured in rows.items():
        low, high, above, zeroed, apart = zip(*measured, strict=True)
        smallest, largest = min(low), max(high)
        drift = max(apart) / max(-smallest, largest, 1e-6)
        kind = trials.operations[op].kind
        found.append(LayerRange(op, kind, smallest, largest, max(above), max(zeroed), drift))
    return tuple(found)


def _range(exact: NDArray[Any], half: NDArray[Any]) -> tuple[float, float, float, float, float]:
    """Smallest, largest, shares above the range and below it, and the largest difference."""
    low, high = number_range([exact])
    nonzero = exact != 0
    with np.errstate(over="ignore"):
        zeroed = int((nonzero & (exact.astype(np.float16) == 0)).sum()) / max(int(nonzero.sum()), 1)
    above = float((np.abs(exact) > 65504).mean()) if exact.size else 0.0
    return low, high, above, zeroed, difference(exact, half)
