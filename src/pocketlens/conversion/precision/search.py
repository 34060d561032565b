"""Finds the ops of a model that must not compute in float16.

All ops compute in float16 first. If that changes the outputs too much, each half of them does, and
so on, until the ops are found that change the outputs alone: a few runs if nothing is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml import CoreMLModel
from pocketlens.coreml.runtime.emulation import Emulation, Operation, graph_model
from pocketlens.coreml.runtime.graph_model import GraphModel
from pocketlens.errors import FeatureError, UnsupportedModelError

__all__ = ["LIMIT", "Blame", "Case", "Trials"]

LIMIT = 0.01
"""By how much float16 usually changes an output at most, as a share of its largest number."""

PROBABILITY_LIMIT = 0.02
"""The same for a probability."""

FINEST = 1 / 256
"""Down to this part of the limit, ops are looked for that are too coarse only together."""

ELEMENTS, LEAST_RUNS, MOST_RUNS = 4e8, 24, 400
"""About how many numbers all runs of a search compute together, and how many runs it has."""

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Case:
    """An input of the model, with what it computes in float32.

    Attributes:
        features: As `CoreMLModel.run` takes them.
        emulation: Runs the model for inputs of these shapes.
        exact: The outputs in float32.
    """

    features: Mapping[str, Any]
    emulation: Emulation
    exact: Tensors


@dataclass(frozen=True)
class Blame:
    """An op that changes the outputs too much, and the case in which it was found.

    `alone` is false if it does so only together with others.
    """

    operation: Operation
    case: Case
    change: float
    alone: bool


class Trials:
    """Runs a model on some inputs with any of its ops in float16, and compares the outputs.

    Args:
        model: An ML Program or a neural network.
        inputs: Its inputs in each case.
        made_up: Whether those are left out that the model cannot process in float32.
        patience: How much longer than usual the search may take.

    Raises:
        UnsupportedModelError: Any other model, or its tensors do not fit into memory.
        FeatureError: The model does not take these inputs, or takes too long.
    """

    def __init__(
        self,
        model: CoreMLModel,
        inputs: Sequence[Mapping[str, Any]],
        *,
        made_up: bool = False,
        patience: int = 1,
    ) -> None:
        emulations: dict[GraphModel, Emulation] = {}
        self.cases: list[Case] = []
        failed: FeatureError | None = None
        for features in inputs:
            try:
                graph = graph_model(model, features)
                emulation = emulations.setdefault(graph, Emulation(graph))
                if not emulation.fits:
                    raise UnsupportedModelError(
                        f"{model.path}: its tensors are too large to compare float16 with float32"
                    )
                exact = emulation.run(features, ())
            except FeatureError as error:  # such as an index that is out of range
                if not made_up:
                    raise
                failed = error
                continue
            floats = [each for each in exact.values() if each.dtype.kind == "f"]
            if not made_up or all(np.isfinite(each).all() for each in floats):
                self.cases.append(Case(features, emulation, exact))
        if not self.cases:
            raise FeatureError(
                f"{model.path} cannot process any made-up input"
                f"{f': {failed}' if failed else '; its outputs are not finite'}; pass data"
            ) from failed
        self.operations = {each.name: each for each in next(iter(emulations.values())).operations}
        self._lost = {each.name for each in self.operations.values() if each.loses_constants}
        declared = [each.name for each in self.operations.values() if each.half]
        network = not model.kind.startswith("ML Program")
        self.as_is = bool(declared) or network
        self.candidates = declared or [
            each.name for each in self.operations.values() if network or not _stays_exact(each)
        ]
        named = {each.name: each.kind for each in model.interface.outputs}
        self._probable = {
            name for name in emulation.outputs if named.get(name, "dictionary") == "dictionary"
        }
        self._largest = {
            name: max(_largest(case.exact[name]) for case in self.cases)
            for name in emulation.outputs
            if self.cases[0].exact[name].dtype.kind in "fiub"
        }
        self._known: dict[tuple[int, tuple[str, ...]], float] = {}
        elements = max(each._lowered.graph.elements() for each in emulations)
        self._left = int(min(MOST_RUNS, max(LEAST_RUNS, ELEMENTS // max(elements, 1)))) * patience

    def change(self, case: Case, half: Collection[str]) -> float:
        """The change of the outputs if these ops compute in float16, as in `Float16Finding`."""
        return LIMIT * self.excess(case, half)

    def excess(self, case: Case, half: Collection[str]) -> float:
        """The same, in units of what is allowed."""
        if not half:
            return 0.0
        key = id(case), tuple(half)
        if key not in self._known:
            self._known[key] = self._excess(case, half)
        return self._known[key]

    def _excess(self, case: Case, half: Collection[str]) -> float:
        flushes = (False, True) if self._lost.intersection(half) else (False,)
        self._left -= len(flushes)
        runs = (case.emulation.run(case.features, half, flush=each) for each in flushes)
        return max(self.compare(case, got) for got in runs)

    def compare(self, case: Case, got: Tensors) -> float:
        """By how much outputs differ from those in float32, in units of what is allowed."""
        worst = 0.0
        for name, largest in self._largest.items():
            want, other = case.exact[name], got[name]
            if want.shape != other.shape:
                return math.inf
            if want.dtype.kind != "f":
                worst = max(worst, float((want != other).mean()) / LIMIT if want.size else 0.0)
                continue
            apart = difference(want, other)
            if name in self._probable:
                worst = max(worst, apart / PROBABILITY_LIMIT)
            else:
                scale = max(_largest(want), 1e-3 * largest, 1e-6)
                worst = max(worst, apart / scale / LIMIT)
        return worst

    def search(self, kept: Collection[str] = ()) -> list[Blame]:
        """The ops that have to compute in float32, so that the outputs hardly change.

        Args:
            kept: Those that do so anyway.
        """
        found: list[Blame] = []
        rest = [name for name in self.candidates if name not in kept]
        limit, enough = 1.0, 1.0
        while rest:
            excess = [self.excess(case, rest) for case in self.cases]
            worst = int(np.argmax(excess))
            if excess[worst] <= enough:
                break
            case = self.cases[worst]
            names = self._halve(case, rest, limit)
            alone = limit == 1.0
            if not names:
                limit /= 4
                names = rest if limit < FINEST else []
            found += [
                Blame(self.operations[name], case, self.change(case, [name]), alone)
                for name in names
            ]
            rest = [name for name in rest if name not in names]
            enough = 0.5  # a margin, once something is wrong
        return sorted(found, key=lambda each: list(self.operations).index(each.operation.name))

    def _halve(self, case: Case, names: list[str], limit: float) -> list[str]:
        """Those of the ops that alone change the outputs by more than the limit."""
        if not names or self.excess(case, names) <= limit:
            return []
        if len(names) == 1 or self._left <= 0:
            return names
        middle = len(names) // 2
        return self._halve(case, names[:middle], limit) + self._halve(case, names[middle:], limit)


def difference(want: NDArray[Any], got: NDArray[Any]) -> float:
    """The largest difference; infinite if only one of two numbers is finite."""
    a, b = want.astype(np.float64), got.astype(np.float64)
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        return math.inf
    return float(np.abs(a[finite] - b[finite]).max(initial=0.0))


def _largest(array: NDArray[Any]) -> float:
    numbers = np.abs(array.astype(np.float64)) if array.dtype.kind in "fiub" else np.zeros(1)
    return float(numbers[np.isfinite(numbers)].max(initial=0.0))


def _stays_exact(operation: Operation) -> bool:
    """Whether coremltools keeps the op in float32: a constant is too large for float16."""
    return any(
        bool(((np.abs(each) > 65504) & (np.abs(each) < 1e38)).any()) for each in operation.constants
    )
