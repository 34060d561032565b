"""Models from arrays to arrays, and how closely two of them agree on the same arrays."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import DataError, OptionError

__all__ = [
    "ArrayInput",
    "ArrayModel",
    "ArrayParity",
    "Arrays",
    "OutputDifference",
    "Size",
    "compare_arrays",
    "difference",
    "label_difference",
]

Size: TypeAlias = int | tuple[int, ...] | None
Arrays: TypeAlias = Mapping[str, NDArray[Any]]
Pair: TypeAlias = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class ArrayInput:
    """An input of a model that takes arrays.

    Args:
        name: The name of the input.
        shape: For each dimension its size, None for any size, or a tuple of the sizes allowed.
        dtype: The NumPy type of the elements, such as `float32` or `int32`; `str` for texts.
    """

    name: str
    shape: tuple[Size, ...]
    dtype: str = "float32"

    def allows(self, shape: Sequence[int]) -> bool:
        """Whether an array may have this shape."""
        return len(shape) == len(self.shape) and all(
            allowed is None or (size in allowed if isinstance(allowed, tuple) else size == allowed)
            for size, allowed in zip(shape, self.shape, strict=True)
        )

    @property
    def expected(self) -> str:
        """The allowed shapes as text, such as `(any, 3)` or `(1, 3, 224 or 320)`."""
        texts = (
            "any"
            if size is None
            else " or ".join(map(str, size))
            if isinstance(size, tuple)
            else str(size)
            for size in self.shape
        )
        listed = ", ".join(texts)
        return f"({listed},)" if len(self.shape) == 1 else f"({listed})"


class ArrayModel(ABC):
    """A model from arrays to arrays: one to convert, or the Core ML file made from it.

    Attributes:
        inputs: Its inputs.
        outputs: The names of its outputs.
        labels: Of a classifier, the class names or numbers in the order of the probabilities.
        label: Of a classifier, the output with the predicted label of each row.
        probabilities: Of a classifier, the output `(N, K)` with the probabilities; empty if it has
            none.
        rows: Whether the first dimension of every input counts independent rows, such as those of
            a table; a Core ML file may then take one row at a time.
    """

    inputs: tuple[ArrayInput, ...]
    outputs: tuple[str, ...]
    labels: tuple[str | int, ...] = ()
    label: str = ""
    probabilities: str = ""
    rows: bool = False

    @abstractmethod
    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """The outputs by name.

        Args:
            arrays: One array for each input, of a shape that it allows.

        Raises:
            PocketlensError: The model cannot process these arrays.
        """


@dataclass(frozen=True)
class OutputDifference:
    """How far one output of two models differs.

    Args:
        name: The output.
        worst: The largest difference of two numbers; infinite if only one of them is finite.
        mean: The mean difference.
        share: The largest difference as a share of the largest number in the same run.
        equal: Of labels, the share that is equal, in [0, 1]; for numbers None.
    """

    name: str
    worst: float
    mean: float
    share: float
    equal: float | None = None


@dataclass(frozen=True)
class ArrayParity:
    """How closely two models from arrays to arrays agree.

    Args:
        cases: How often each model ran.
        outputs: The difference of each output.
        tolerance: The largest share allowed, see `OutputDifference`.
        agreement: The smallest share of equal labels allowed, in [0, 1].
        made_up: Whether the arrays were made up, because none were given.
        note: Where the two models begin to differ; empty if they do not or it is not known.
    """

    cases: int
    outputs: tuple[OutputDifference, ...]
    tolerance: float
    agreement: float
    made_up: bool = False
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether every output is within the tolerance."""
        return not self.differing

    @property
    def differing(self) -> tuple[str, ...]:
        """The outputs that are not within the tolerance."""
        return tuple(each.name for each in self.outputs if not self._fits(each))

    def _fits(self, each: OutputDifference) -> bool:
        if each.equal is not None:
            return each.equal >= self.agreement
        return each.share <= self.tolerance

    def __str__(self) -> str:
        width = max(6, *(len(each.name) for each in self.outputs))
        rows = [f"{'output':<{width}}  largest difference  mean difference  share of largest"]
        for each in self.outputs:
            if each.equal is not None:
                rows.append(f"{each.name:<{width}}  {100 * each.equal:.4g} % equal labels")
            else:
                numbers = f"{each.worst:<18.3g}  {each.mean:<15.3g}  {each.share:.2g}"
                rows.append(f"{each.name:<{width}}  {numbers}")
        labels = any(each.equal is not None for each in self.outputs)
        limit = f"required: a share of at most {self.tolerance:g}"
        limit += f", and {100 * self.agreement:g} % equal labels" if labels else ""
        data = "made-up data" if self.made_up else "your data"
        runs = f"{self.cases} run{'' if self.cases == 1 else 's'}"
        head = f"parity {'passed' if self.passed else 'FAILED'} in {runs} on {data}"
        return "\n".join([head, *rows, limit, *([self.note] if self.note else [])])

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of lists, strings and numbers for JSON; an infinite difference is None."""
        outputs = [
            {key: None if value == math.inf else value for key, value in asdict(each).items()}
            for each in self.outputs
        ]
        return {"passed": self.passed, **asdict(self), "outputs": outputs}


def compare_arrays(
    a: ArrayModel,
    b: ArrayModel,
    cases: Sequence[Arrays],
    *,
    tolerance: float = 0.01,
    agreement: float = 0.999,
    made_up: bool = False,
) -> ArrayParity:
    """Run two models on the same arrays and compare their outputs.

    Args:
        a: The reference, such as the source of a conversion.
        b: The model to check, such as the Core ML file.
        cases: The inputs of each run, see `array_cases.split_cases`.
        tolerance: The largest difference allowed, as a share of the largest number of the output.
        agreement: The smallest share of equal labels allowed, in [0, 1].
        made_up: Whether the cases were made up.

    Raises:
        DataError: There is no case, or the models have no output in common or outputs of different
            shapes.
        OptionError: `tolerance` or `agreement` is out of range.
    """
    if not 0 <= tolerance < math.inf:
        raise OptionError(f"tolerance must be at least 0; received: {tolerance!r}")
    if not 0 <= agreement <= 1:
        raise OptionError(f"agreement must be from 0 to 1; received: {agreement!r}")
    if not cases:
        raise DataError(
            "there are no arrays to compare the two models on; pass some with --data X.npz"
        )
    if missing := [name for name in a.outputs if name not in b.outputs]:
        raise DataError(
            f"the second model has no output {missing[0]!r}; it has: {', '.join(b.outputs)}; "
            "expected the Core ML file made from the first"
        )
    pairs: dict[str, list[Pair]] = {name: [] for name in a.outputs}
    order = _label_order(a, b)
    for case in cases:
        want, got = a.run(case), b.run(case)
        if order is not None:
            got[a.probabilities] = got[a.probabilities][..., order]
        for name in a.outputs:
            pairs[name].append((want[name], got[name]))
    if not a.rows and not any(_has_finite(want) for name in pairs for want, _ in pairs[name]):
        raise DataError(
            "the first model returns no finite number for these arrays, so there is nothing to "
            "compare; expected arrays like those that it was made for"
        )
    found = tuple(
        label_difference(name, pairs[name]) if name == a.label else difference(name, pairs[name])
        for name in a.outputs
    )
    return ArrayParity(len(cases), found, tolerance, agreement, made_up)


def _has_finite(values: NDArray[Any]) -> bool:
    return values.dtype.kind != "f" or bool(np.isfinite(values).any())


def _label_order(a: ArrayModel, b: ArrayModel) -> list[int] | None:
    """Where the labels of a are among those of b; None if the order is the same."""
    one, other = list(map(str, a.labels)), list(map(str, b.labels))
    if one == other or not a.probabilities:
        return None
    if sorted(one) != sorted(other):
        raise DataError(
            f"the two models have different labels: {', '.join(one[:12])} and "
            f"{', '.join(other[:12])}; expected the same labels"
        )
    return [other.index(name) for name in one]


def label_difference(name: str, pairs: Sequence[Pair]) -> OutputDifference:
    """The share of equal labels over all runs; numbers are compared by their digits.

    Raises:
        DataError: The numbers of labels differ.
    """
    _check_sizes(name, pairs)
    equal = [
        np.asarray(want.reshape(-1).astype(str) == got.reshape(-1).astype(str), dtype=bool)
        for want, got in pairs
    ]
    return OutputDifference(name, 0.0, 0.0, 0.0, float(np.concatenate(equal).mean()))


def difference(name: str, pairs: Sequence[Pair]) -> OutputDifference:
    """The difference of one output of numbers over all runs.

    Args:
        name: The output.
        pairs: What each model returned in each run; of the same size, perhaps in other shapes.

    Raises:
        DataError: The sizes differ.
    """
    _check_sizes(name, pairs)
    # A run whose numbers are all tiny, against those of the others, has no digits to compare.
    largest = max((_largest(want) for want, _ in pairs), default=0.0)
    worst, share, total, count = 0.0, 0.0, 0.0, 0
    for want, got in pairs:
        apart = _apart(want, got)
        if apart.size:
            most = float(apart.max())
            worst = max(worst, most)
            share = max(share, most / max(_largest(want), 1e-3 * largest, 1e-6))
            total, count = total + float(apart.sum()), count + apart.size
    return OutputDifference(name, worst, total / max(count, 1), share)


def _check_sizes(name: str, pairs: Sequence[Pair]) -> None:
    for want, got in pairs:
        if want.size != got.size:
            raise DataError(
                f"the output {name!r} has the shape {want.shape} in the first model and "
                f"{got.shape} in the second; expected the same number of elements"
            )


def _largest(array: NDArray[Any]) -> float:
    numbers = np.abs(array.astype(np.float64))
    return float(numbers[np.isfinite(numbers)].max(initial=0.0))


def _apart(want: NDArray[Any], got: NDArray[Any]) -> NDArray[np.float64]:
    """|a - b|; 0 where both are NaN, or the same infinity; infinite where only one of them is."""
    a, b = (each.reshape(-1).astype(np.float64) for each in (want, got))
    finite = np.isfinite(a) & np.isfinite(b)
    same = (np.isnan(a) & np.isnan(b)) | (a == b)
    apart = np.where(same, 0.0, np.inf)
    apart[finite] = np.abs(a[finite] - b[finite])
    return apart
