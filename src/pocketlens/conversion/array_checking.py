"""Compare a Core ML file from arrays to arrays with its source, on made-up inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.array_probes import LARGE
from pocketlens.conversion.checking import (
    FLOAT32,
    NO_CHECK,
    loaded,
    opened,
    run_error,
)
from pocketlens.conversion.model_arrays import as_arrays
from pocketlens.conversion.source_kinds import ArraySource
from pocketlens.errors import (
    CheckFailedError,
    ConversionError,
    DataError,
    FeatureError,
    ModelFileError,
    PocketlensError,
    UnsupportedModelError,
)
from pocketlens.evaluation.arrays import Arrays, OutputDifference, difference, label_difference
from pocketlens.model_files import is_core_ai

__all__ = ["HALF_TOLERANCE", "check_array_file", "made_up_cases"]

HALF_TOLERANCE = 0.01
"""The largest difference that rounding to float16 usually makes, as a share of the largest number.
"""

MAX_DRIFT = 0.25
"""From this share on, float16 is too coarse."""

Outputs = dict[str, NDArray[Any]]


class _Case(NamedTuple):
    name: str
    arrays: Arrays
    want: Outputs


def made_up_cases(source: ArraySource, *, large: bool = True) -> list[Arrays]:
    """The made-up inputs of a source that it can process itself, with large numbers or without.

    Raises:
        ConversionError: It can process none of them.
    """
    return [case.arrays for case in _cases(source) if large or case.name != LARGE]


def check_array_file(
    file: Path,
    source: ArraySource,
    *,
    half: bool,
    in_float32: Callable[[], Path],
    finer: str = FLOAT32,
    data: Sequence[Arrays] = (),
) -> list[str]:
    """Check that a Core ML file computes what its source computes.

    A file in float32 must agree up to its rounding. One in float16 that differs by more than its
    rounding usually does is converted again in float32: if that agrees, only rounding is at work.

    Args:
        file: The Core ML file, not yet under its final name.
        source: What it was converted from.
        half: Whether the file has float16 arithmetic or weights.
        in_float32: Converts the same source in float32 and returns the path.
        finer: The precisions to advise if rounding to float16 changes much.
        data: Arrays of the user for some runs, in place of made-up ones.

    Returns:
        Notes for the user: what rounding to float16 changes, if it is much.

    Raises:
        CheckFailedError: The file differs, or cannot run here.
        ConversionError: The source cannot process any made-up input.
    """
    cases = [_Case(f"run {at}", each, source.run(each)) for at, each in enumerate(data, 1)]
    cases = cases or _cases(source)
    if not half:
        _check_exact(file, source, cases)
        return []
    got = _run(file, source, cases)
    worst = _worst(source, cases, got)
    if all(_share(each) <= HALF_TOLERANCE for each in worst):
        return []
    _check_exact(in_float32(), source, cases)
    if all(_share(each) <= max(HALF_TOLERANCE, _noise_of(source, cases, each)) for each in worst):
        return []
    return _drift(file, source, cases, got, worst, finer)


def _cases(source: ArraySource) -> list[_Case]:
    cases, failed = [], None
    for name, arrays in source.probes():
        try:
            want = source.run(arrays)
        except PocketlensError as error:  # such as an index that is out of range
            failed = error
            continue
        finite = all(np.isfinite(each).all() for each in want.values() if each.dtype.kind == "f")
        if finite or source.rows:  # NaN may be an answer for a row
            cases.append(_Case(name, arrays, want))
    if not cases:
        why = f": {failed}" if failed else ": it returns no finite number"
        raise ConversionError(
            f"the model cannot process any made-up input, so the Core ML file cannot be compared "
            f"with it{why}; {NO_CHECK}"
        )
    return cases


def _run(file: Path, source: ArraySource, cases: Sequence[_Case]) -> list[Outputs]:
    try:
        model = as_arrays(opened(file), rows=source.rows)
        if missing := [name for name in source.outputs if name not in model.outputs]:
            raise CheckFailedError(
                f"the converted file has no output {missing[0]!r}; it has: "
                f"{', '.join(model.outputs)}; nothing was written"
            )
        return [model.run(case.arrays) for case in cases]
    except (UnsupportedModelError, ModelFileError, FeatureError) as error:
        raise run_error(file, error) from error


def _worst(
    source: ArraySource, cases: Sequence[_Case], got: Sequence[Outputs]
) -> list[OutputDifference]:
    """The difference of each output over all cases."""
    found = []
    for name in source.outputs:
        pairs = [(case.want[name], each[name]) for case, each in zip(cases, got, strict=True)]
        found.append(_difference(source, name, pairs))
    return found


def _difference(
    source: ArraySource, name: str, pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]
) -> OutputDifference:
    try:
        if name == source.label:
            return label_difference(name, pairs)
        return difference(name, pairs)
    except DataError as error:
        raise CheckFailedError(
            f"the converted file differs from its source: {error}; nothing was written"
        ) from error


def _share(each: OutputDifference) -> float:
    """Of an output, the difference as a share; of labels, the share that differs."""
    return each.share if each.equal is None else 1 - each.equal


def _first_difference(file: Path, source: ArraySource, case: _Case) -> str:
    """Where a Core ML file begins to differ; of a Core AI model it is not known."""
    return "" if is_core_ai(file) else source.first_difference(loaded(file), case.arrays)


def _check_exact(file: Path, source: ArraySource, cases: Sequence[_Case]) -> None:
    got = _run(file, source, cases)
    for case, outputs in zip(cases, got, strict=True):
        for name in source.outputs:
            want = case.want[name]
            found = _difference(source, name, [(want, outputs[name])])
            if name == source.label:
                wrong = found.equal != 1.0 and not _ties_only(source, case, outputs)
            else:
                wrong = found.share > source.tolerance
            # A model that rounds, sorts or divides by almost nothing amplifies rounding errors.
            if wrong and found.share > 10 * _noise(source, case, name):
                at = _first_difference(file, source, case)
                raise CheckFailedError(
                    f"the converted file differs from its source: for {case.name}, "
                    f"{_text(name, want, outputs[name], found)}{'; ' if at else ''}{at}; nothing "
                    f"was written; write that part of the model in another way, or {NO_CHECK}"
                )


def _ties_only(source: ArraySource, case: _Case, outputs: Outputs) -> bool:
    """Whether labels differ only where two of them are equally probable."""
    if not source.probabilities:
        return False
    wrong = case.want[source.label].astype(str) != outputs[source.label].astype(str)
    best = np.sort(case.want[source.probabilities].reshape(len(wrong), -1), axis=1)
    ties = best[:, -1] - best[:, -2] <= 2 * source.tolerance
    return bool(ties[wrong].all())


def _noise(source: ArraySource, case: _Case, name: str) -> float:
    """How far the source itself moves if its numbers are rounded otherwise."""
    if name == source.label:
        return 0.0
    moved = (source.moved(case.arrays, seed)[name] for seed in range(3))
    return max(difference(name, [(case.want[name], each)]).share for each in moved)


def _worst_case(source: ArraySource, cases: Sequence[_Case], got: Sequence[Outputs]) -> _Case:
    """The case whose outputs differ most."""
    shares = [
        max(map(_share, _worst(source, [case], [each])))
        for case, each in zip(cases, got, strict=True)
    ]
    return cases[int(np.argmax(shares))]


def _noise_of(source: ArraySource, cases: Sequence[_Case], each: OutputDifference) -> float:
    return max(10 * _noise(source, case, each.name) for case in cases)


def _text(name: str, want: NDArray[Any], got: NDArray[Any], found: OutputDifference) -> str:
    """Where two arrays differ most, in words."""
    a, b = want.reshape(-1), got.reshape(-1)
    if found.equal is not None:
        at = int(np.flatnonzero(a.astype(str) != b.astype(str))[0])
        return f"the label of row {at + 1} is {b[at]!r} instead of {a[at]!r}"
    with np.errstate(invalid="ignore"):
        apart = np.abs(a.astype(np.float64) - b.astype(np.float64))
    apart[np.isnan(apart)] = np.where(np.isnan(a) & np.isnan(b), 0, np.inf)[np.isnan(apart)]
    at = int(apart.argmax())
    return f"the output {name!r} has {b[at]:.6g} instead of {a[at]:.6g}"


def _drift(
    file: Path,
    source: ArraySource,
    cases: Sequence[_Case],
    got: Sequence[Outputs],
    worst: Sequence[OutputDifference],
    finer: str,
) -> list[str]:
    """What rounding to float16 changes."""
    spoiled = [
        name
        for name in source.outputs
        if any(
            each[name].dtype.kind == "f"
            and not np.array_equal(np.isfinite(each[name]), np.isfinite(case.want[name]))
            for case, each in zip(cases, got, strict=True)
            if each[name].shape == case.want[name].shape
        )
    ]
    advice = f"nothing was written; use {finer}, or {NO_CHECK}"
    if spoiled:
        at = _first_difference(file, source, _worst_case(source, cases, got))
        raise CheckFailedError(
            "float16 is too small for this model: the converted file returns values of "
            f"{spoiled[0]!r} that are not finite; {at}{'; ' if at else ''}{advice}"
        )
    (most, *_) = sorted(worst, key=lambda each: -_share(each))
    what = (
        f"{100 * _share(most):.2g} % of the labels"
        if most.equal is not None
        else f"the output {most.name!r} by up to {most.worst:.2g}, {100 * most.share:.2g} % of its "
        "largest number"
    )
    if _share(most) > MAX_DRIFT:
        raise CheckFailedError(
            f"float16 is too coarse for this model: rounding changes {what}; {advice}"
        )
    return [
        f"rounding to float16 changes {what}; in float32 the file agrees with its source: "
        f"use {finer}"
    ]
