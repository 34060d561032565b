"""`Chain`: builds a classic Core ML model, or a pipeline of several, stage by stage.

All numbers between stages are doubles. Every stage passes Core ML's own validator rules (the files
mlmodel/src/Validation of coremltools): arrays have one dimension, a linear or support vector
regressor has a single double as its output, and the features of stages have equal types.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from pocketlens.conversion.classic.values import Affine, Columns, Floats, Value, Vector
from pocketlens.coreml.file.proto import generated
from pocketlens.errors import ConversionError

__all__ = [
    "INPUT",
    "LABEL",
    "PREDICTION",
    "PROBABILITIES",
    "TRANSFORMED",
    "Affine",
    "Chain",
    "Columns",
    "Floats",
    "Value",
    "Vector",
]

Label: TypeAlias = str | int

INPUT = "input"
LABEL = "classLabel"
PROBABILITIES = "classProbability"
PREDICTION = "prediction"
TRANSFORMED = "transformed"

MAX_WIDTH = 2**20
"""The most numbers in a row."""

SPECIFICATION_VERSION = 4
"""iOS 13: the first with the nearest neighbors classifier; older phones run no Swift UI app."""


@dataclass
class Chain:
    """The stages so far.

    Attributes:
        names: The names of the model's columns, if each is an input of its own; else None: they are
            the numbers of one array, `input`.
        width: The number of columns.
        strings: The columns that are strings, by position; the others are doubles.
        labels: The labels of a classifier.
        interesting: For some columns, numbers at which the model's answer may change.
        categories: For some columns, the values that the model knows.
        approximate: Whether it has an exponential function.
    """

    names: tuple[str, ...] | None
    width: int
    labels: tuple[Label, ...] = ()
    strings: set[int] = field(default_factory=set)
    interesting: dict[int, list[Floats]] = field(default_factory=dict)
    categories: dict[int, list[Any]] = field(default_factory=dict)
    approximate: bool = False
    _stages: list[Any] = field(default_factory=list)
    _vectors: dict[tuple[int, ...], Vector] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.width <= MAX_WIDTH:
            raise ConversionError(
                f"the model takes {self.width} numbers; expected 1 to {MAX_WIDTH}"
            )
        taken = {LABEL, PROBABILITIES, PREDICTION, TRANSFORMED}
        if self.names is not None and (
            len(set(self.names)) != len(self.names) or "" in self.names or taken & set(self.names)
        ):
            raise ConversionError(
                "the names of the columns are empty, not unique, or a name of an output "
                f"({', '.join(sorted(taken))}); pass inputs='array' for one array as the input"
            )

    @property
    def rows(self) -> Value:
        """The model's input."""
        if self.names is not None:
            return Columns(tuple(range(self.width)))
        return Vector(INPUT, self.width, tuple(range(self.width)))

    def stage(
        self, kind: str, inputs: Value | Sequence[tuple[str, Any]], outputs: dict[str, Any]
    ) -> Any:
        """Add a model.

        Args:
            kind: Its type in the specification, such as `scaler`.
            inputs: Its input; or the names and types of its features.
            outputs: Their types by name: the width of an array, `double`, `int64` ...

        Returns:
            The message with its parameters, to be filled in.
        """
        model = generated("Model_pb2").Model(specificationVersion=SPECIFICATION_VERSION)
        for name, type_ in self.features(inputs) if not isinstance(inputs, list) else inputs:
            _declare(model.description.input.add(), name, type_)
        for name, type_ in outputs.items():
            _declare(model.description.output.add(), name, type_)
        self._stages.append(model)
        message = getattr(model, kind)
        message.SetInParent()
        return message

    @property
    def last(self) -> Any:
        """The description of the stage that was added last."""
        return self._stages[-1].description

    def fresh(self) -> str:
        """A name for a feature between two stages."""
        name = f"stage{len(self._stages) + 1}"
        while self.names is not None and name in self.names:
            name += "_"
        return name

    def features(self, value: Any) -> list[tuple[str, Any]]:
        """The features of a value, as the inputs of a model that concatenates them."""
        if isinstance(value, Columns):
            assert self.names is not None
            if wrong := self.strings & set(value.indices):
                raise ConversionError(
                    f"the column {self.names[min(wrong)]!r} is used as text and as a number; "
                    "encode it once, with OneHotEncoder or OrdinalEncoder"
                )
            return [(self.names[each], "double") for each in value.indices]
        vector = self.vector(value)
        return [(vector.name, vector.width)]

    def vector(self, value: Value) -> Vector:
        """The value as one array."""
        if isinstance(value, Vector):
            return value
        if isinstance(value, Affine):
            return self._computed(value)
        if value.indices not in self._vectors:
            self._vectors[value.indices] = self._joined(self.features(value), value.indices)
        return self._vectors[value.indices]

    def _joined(self, parts: list[tuple[str, Any]], origin: tuple[int, ...]) -> Vector:
        name = self.fresh()
        message = self.stage("featureVectorizer", parts, {name: len(origin)})
        for part, type_ in parts:
            size = type_ if isinstance(type_, int) else 1
            message.inputList.add(inputColumn=part, inputDimensions=size)
        return Vector(name, len(origin), origin)

    def numbered(self, column: int, texts: Sequence[str], *, strict: bool) -> str:
        """Add a map from the texts of a column to 0, 1, 2 ..., an int64; its name.

        An unknown text is -1, or an error in Core ML, too, if `strict`.
        """
        assert self.names is not None
        self.strings.add(column)
        self.categories.setdefault(column, []).extend(texts)
        name = self.fresh()
        inputs = [(self.names[column], "string")]
        message = self.stage("categoricalMapping", inputs, {name: "int64"})
        for number, text in enumerate(texts):
            message.stringToInt64Map.map[text] = number
        if not strict:
            message.int64Value = -1
        return name

    def with_numbers(self, value: Columns, numbered: dict[int, str]) -> Vector:
        """Columns as an array, some of them by their numbers, see `numbered`."""
        parts: list[tuple[str, Any]] = []
        for position, index in enumerate(value.indices):
            if position in numbered:
                parts.append((numbered[position], "int64"))
            else:
                parts += self.features(Columns((index,)))
        return self._joined(parts, value.indices)

    def _computed(self, value: Affine) -> Vector:
        """An affine value as an array: a linear regressor for each number."""
        names = []
        for factors, offset in zip(value.factors, value.offset, strict=True):
            names.append(self.fresh())
            self.linear_number(value.base, factors, offset, names[-1])
        return self.numbers(names)

    def numbers(self, names: Sequence[str]) -> Vector:
        """Doubles that earlier stages computed, as an array."""
        return self._joined([(name, "double") for name in names], (-1,) * len(names))

    def linear_number(self, value: Value, factors: Floats, offset: float, output: str) -> None:
        """Add a linear regressor: factors · value + offset, a double."""
        value, weights, offsets = self.absorbed(value, factors[None], np.array([offset]))
        message = self.stage("glmRegressor", value, {output: "double"})
        self.last.predictedFeatureName = output
        message.weights.add(value=weights[0].tolist())
        message.offset.extend(offsets.tolist())

    def absorbed(
        self, value: Value, factors: Floats, offset: Floats
    ) -> tuple[Vector | Columns, Floats, Floats]:
        """`factors` · value + `offset`, without an affine value: base, factors, offset."""
        if isinstance(value, Affine):
            return value.base, factors @ value.factors, factors @ value.offset + offset
        return value, factors, offset

    def affine(self, value: Value, factors: Floats, offset: Floats) -> Affine:
        """`factors` [M, width] · value + `offset` [M]."""
        return Affine(*self.absorbed(value, factors, offset))

    def select(self, value: Value, indices: Sequence[int]) -> Value:
        """Some of the numbers, in this order."""
        chosen = [int(each) for each in indices]
        if chosen == list(range(value.width)):
            return value
        if not chosen:
            raise ConversionError("no column is left of a selection; a model needs at least one")
        if isinstance(value, Columns):
            return Columns(tuple(value.indices[each] for each in chosen))
        if isinstance(value, Affine):
            return Affine(value.base, value.factors[chosen], value.offset[chosen])
        name = self.fresh()
        message = self.stage("arrayFeatureExtractor", value, {name: len(chosen)})
        message.extractIndex.extend(chosen)
        return Vector(name, len(chosen), tuple(value.origin[each] for each in chosen))

    def joined(self, values: Sequence[Value]) -> Value:
        """The numbers of several values, one after the other."""
        if len(values) == 1:
            return values[0]
        if all(isinstance(each, Columns) for each in values):
            return Columns(tuple(i for each in values for i in cast("Columns", each).indices))
        vectors = [self.vector(each) for each in values]
        parts: list[tuple[str, Any]] = [(each.name, each.width) for each in vectors]
        if len({name for name, _ in parts}) != len(parts):
            return self._twice(vectors)
        return self._joined(parts, tuple(i for each in vectors for i in each.origin))

    def _twice(self, vectors: Sequence[Vector]) -> Vector:
        """Like `joined`, if an array is there more than once: a feature has only one position."""
        first = {each.name: each for each in vectors}
        starts, total = {}, 0
        for name, each in first.items():
            starts[name], total = total, total + each.width
        once = self.joined(list(first.values()))
        indices = [starts[each.name] + i for each in vectors for i in range(each.width)]
        return self.vector(self.select(once, indices))

    def scaled(self, value: Value, scale: Floats, shift: Floats) -> Value:
        """`scale` · (value + `shift`), element by element."""
        if isinstance(value, Affine):
            return self.affine(value, np.diag(scale), scale * shift)
        vector = self.vector(value)
        name = self.fresh()
        message = self.stage("scaler", vector, {name: vector.width})
        message.shiftValue.extend(shift.tolist())
        message.scaleValue.extend(scale.tolist())
        return Vector(name, vector.width, (-1,) * vector.width)

    def replaced(self, value: Value, replaced: float, by: Floats) -> Value:
        """The value with one number (or NaN) replaced by that of `by` at the same position."""
        vector = self.vector(value)
        name = self.fresh()
        message = self.stage("imputer", vector, {name: vector.width})
        message.imputedDoubleArray.vector.extend(by.tolist())
        message.replaceDoubleValue = replaced
        return Vector(name, vector.width, vector.origin)

    def exponential(self, number: str, output: str) -> None:
        """e^number, as a support vector machine.

        Core ML's classic models have no exponential function. The polynomial kernel
        (x / n + 1)^n with n = 2^26 differs from it by x² / 2n, relatively: below 1e-8 for |x| < 1,
        7e-7 for |x| = 10.
        """
        self.approximate = True
        message = self.stage("supportVectorRegressor", [(number, "double")], {output: "double"})
        self.last.predictedFeatureName = output
        kernel = message.kernel.polyKernel
        kernel.degree, kernel.c, kernel.gamma = 2**26, 1.0, 2.0**-26
        message.denseSupportVectors.vectors.add(values=[1.0])
        message.coefficients.alpha.append(1.0)

    def mark(self, value: Value, index: int, numbers: Iterable[float]) -> None:
        """Note numbers at which the model's answer may change, if the column is an input."""
        column = value.origin[index]
        if column >= 0:
            self.interesting.setdefault(column, []).append(np.asarray(list(numbers), np.float64))

    def classifier(self, message: Any, *, probabilities: bool, label: str = LABEL) -> None:
        """Declare the outputs of the last stage, a classifier, and its labels.

        Args:
            message: Its parameters.
            probabilities: Whether it has the output with the probabilities.
            label: The name of its label; another one if the label comes from another stage.
        """
        kind = "string" if isinstance(self.labels[0], str) else "int64"
        names = {"string": "stringClassLabels", "int64": "int64ClassLabels"}
        getattr(message, names[kind]).vector.extend(self.labels)
        _declare(self.last.output.add(), label, kind)
        self.last.predictedFeatureName = label
        if probabilities:
            _declare(self.last.output.add(), PROBABILITIES, f"{kind}-dictionary")
            self.last.predictedProbabilitiesName = PROBABILITIES

    def built(self, task: Literal["classifier", "regressor", "transformer"]) -> Any:
        """The whole as one model: the only stage, or a pipeline."""
        if len(self._stages) == 1:
            return self._stages[0]
        model = generated("Model_pb2").Model(specificationVersion=SPECIFICATION_VERSION)
        if task == "transformer":
            pipeline = model.pipeline
        else:
            kind = "pipelineClassifier" if task == "classifier" else "pipelineRegressor"
            pipeline = getattr(model, kind).pipeline
        pipeline.models.extend(self._stages)
        description = model.description
        if self.names is None:
            _declare(description.input.add(), INPUT, self.width)
        used = {each.name for stage in self._stages for each in stage.description.input}
        for index, name in enumerate(self.names or ()):
            if name in used:
                type_ = "string" if index in self.strings else "double"
                _declare(description.input.add(), name, type_)
        outputs = {
            feature.name: feature for stage in self._stages for feature in stage.description.output
        }
        last = {"classifier": LABEL, "regressor": PREDICTION, "transformer": TRANSFORMED}[task]
        for name in (last, PROBABILITIES) if task == "classifier" else (last,):
            if name in outputs:
                description.output.add().CopyFrom(outputs[name])
        if task != "transformer":
            description.predictedFeatureName = last
        if PROBABILITIES in outputs and task == "classifier":
            description.predictedProbabilitiesName = PROBABILITIES
        return model


def _declare(feature: Any, name: str, type_: Any) -> None:
    feature.name = name
    kinds = {"double": "doubleType", "int64": "int64Type", "string": "stringType"}
    if isinstance(type_, int):
        feature.type.multiArrayType.shape.append(type_)
        feature.type.multiArrayType.dataType = 65600  # DOUBLE
    elif type_ in kinds:
        getattr(feature.type, kinds[type_]).SetInParent()
    else:
        keys = {"string-dictionary": "stringKeyType", "int64-dictionary": "int64KeyType"}
        getattr(feature.type.dictionaryType, keys[type_]).SetInParent()
