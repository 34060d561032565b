"""Tables in, labels or numbers out: scikit-learn, XGBoost and LightGBM as sources of `convert`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.array_probes import Probe
from pocketlens.conversion.classic.building import Built
from pocketlens.conversion.classic.chain import (
    INPUT,
    LABEL,
    PREDICTION,
    PROBABILITIES,
    TRANSFORMED,
)
from pocketlens.conversion.classic.rows import Rows, made_up_rows
from pocketlens.conversion.package import Format
from pocketlens.conversion.source_kinds import ArraySource, Precision, SourceOptions
from pocketlens.errors import ConversionError, OptionError
from pocketlens.evaluation.arrays import ArrayInput, Arrays
from pocketlens.files import read_limited

__all__ = ["ClassicSource", "open_lightgbm", "open_sklearn", "open_xgboost"]

MAX_BYTES = 2**27
"""The largest file of XGBoost or LightGBM that is read."""

PROBED = 100
"""How many made-up rows of each kind are compared."""

APPROXIMATE = 1e-5
"""The tolerance of models with an exponential function, see `Chain.exponential`."""


class ClassicSource(ArraySource):
    """A model of tables: one row is one run of the Core ML file."""

    halves = False
    rows = True

    def __init__(self, built: Built) -> None:
        self._built = built
        chain = built.chain
        self.tolerance = max(built.tolerance, APPROXIMATE if chain.approximate else 0.0)
        outputs = [each.name for each in built.spec.description.output]
        used = {each.name for each in built.spec.description.input}
        if chain.names is None:
            self.inputs = (ArrayInput(INPUT, (None, chain.width), "float64"),)
        else:
            self.inputs = tuple(
                ArrayInput(name, (None, 1), "str" if number in chain.strings else "float64")
                for number, name in enumerate(chain.names)
                if name in used
            )
        if built.task == "classifier":
            self.labels, self.label = chain.labels, LABEL
            self.probabilities = PROBABILITIES if PROBABILITIES in outputs else ""
            self.outputs = (LABEL, PROBABILITIES) if self.probabilities else (LABEL,)
        else:
            self.outputs = (PREDICTION if built.task == "regressor" else TRANSFORMED,)

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """What the source answers for rows."""
        answers = self._built.answer(self._table(arrays))
        if self._built.task != "classifier":
            assert answers.values is not None
            return {self.outputs[0]: answers.values}
        assert answers.classes is not None
        names = np.array(self.labels, object)
        found: dict[str, NDArray[Any]] = {LABEL: names[answers.classes]}
        if self.probabilities:
            assert answers.probabilities is not None
            found[PROBABILITIES] = answers.probabilities
        return found

    def _table(self, arrays: Arrays) -> Rows:
        """The columns of the source; those that it does not use are 0 or an empty text."""
        chain = self._built.chain
        if chain.names is None:
            table = np.asarray(arrays[INPUT], np.float64)
            return [table[:, column] for column in range(chain.width)]
        count = len(next(iter(arrays.values())))
        columns: Rows = []
        for number, name in enumerate(chain.names):
            texts = number in chain.strings
            given = arrays.get(name)
            if given is None:
                given = np.full(count, "" if texts else 0.0, object if texts else np.float64)
            columns.append(np.asarray(given).reshape(count).astype(object if texts else float))
        return columns

    def to_core_ml(
        self,
        *,
        format: Format,  # noqa: A002, ARG002 - both formats have the same model
        precision: Precision,  # noqa: ARG002 - classic models compute with doubles
        folder: Path,  # noqa: ARG002 - they have no weights file
    ) -> tuple[Any, Path | None]:
        """The model; its numbers are doubles in every format."""
        return self._built.spec, None

    def probes(self) -> list[Probe]:
        """Rows near the numbers at which the answer may change; with missing and unknown values."""
        kinds = {
            "made-up rows": {},
            "rows with missing values": {"missing": True},
            "rows with unknown categories": {"unknown": True},
            "rows with infinite numbers": {"infinite": True},
        }
        return [
            (name, self.arrays(made_up_rows(self._built.chain, PROBED, seed, **options)))
            for seed, (name, options) in enumerate(kinds.items())
        ]

    def arrays(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """The columns of a table as the inputs of the Core ML file."""
        chain = self._built.chain
        if chain.names is None:
            return {INPUT: np.stack(rows, axis=1)}
        used = {each.name for each in self.inputs}
        columns = zip(chain.names, rows, strict=True)
        return {name: column[:, None] for name, column in columns if name in used}

    def made_up(self, count: int, seed: int, **options: bool) -> dict[str, NDArray[Any]]:
        """Made-up rows, see `made_up_rows`."""
        return self.arrays(made_up_rows(self._built.chain, count, seed, **options))


def open_sklearn(model: Any, options: SourceOptions) -> ClassicSource:
    """A fitted estimator, or the path of a skops file.

    Raises:
        ConversionError: It is damaged, not fitted, or Core ML cannot express it.
        OptionError: An option that does not fit.
    """
    from pocketlens.conversion.classic.from_sklearn import build_estimator
    from pocketlens.conversion.classic.skops_files import read_skops

    _check_options(options)
    estimator = read_skops(model) if isinstance(model, Path) else model
    return ClassicSource(build_estimator(estimator, labels=options.labels, inputs=options.takes))


def open_xgboost(model: Any, options: SourceOptions) -> ClassicSource:
    """A Booster or a model such as XGBClassifier, or the path of a JSON or UBJSON file.

    Raises:
        ConversionError: It is damaged, not fitted, or Core ML cannot express it.
        OptionError: An option that does not fit.
    """
    from pocketlens.conversion.classic.from_xgboost import build_xgboost, build_xgboost_object

    return _opened(model, options, build_xgboost, build_xgboost_object)


def open_lightgbm(model: Any, options: SourceOptions) -> ClassicSource:
    """A Booster or a model such as LGBMClassifier, or the path of a text file.

    Raises:
        ConversionError: It is damaged, not fitted, or Core ML cannot express it.
        OptionError: An option that does not fit.
    """
    from pocketlens.conversion.classic.from_lightgbm import build_lightgbm, build_lightgbm_object

    return _opened(model, options, build_lightgbm, build_lightgbm_object)


def _opened(
    model: Any,
    options: SourceOptions,
    from_content: Callable[..., Built],
    from_object: Callable[..., Built],
) -> ClassicSource:
    _check_options(options)
    if not isinstance(model, Path):
        return ClassicSource(from_object(model, labels=options.labels, inputs=options.takes))
    try:
        content = read_limited(model, MAX_BYTES)
    except OSError as error:
        raise ConversionError(
            f"{model} cannot be read: {error.strerror}; check the path"
        ) from error
    return ClassicSource(
        from_content(content, str(model), labels=options.labels, inputs=options.takes)
    )


def _check_options(options: SourceOptions) -> None:
    if options.inputs is not None:
        raise OptionError(f"inputs is {options.inputs!r}; a model of tables takes: array, columns")
    if options.input_spec is not None or options.values or options.sizes or options.head:
        raise OptionError(
            "a model of tables has no image as its input; leave out the input_spec, scale, color, "
            "size and head"
        )
