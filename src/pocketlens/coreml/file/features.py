"""Features: the inputs, outputs and states that a model's description declares."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.file.values import MAX_RANK
from pocketlens.errors import (
    ModelFileError,
    OptionError,
    UnsupportedModelError,
    did_you_mean,
    printable,
)
from pocketlens.prediction import THRESHOLDS_KEY, Thresholds

__all__ = [
    "Feature",
    "FeatureColor",
    "FeatureKind",
    "FeatureType",
    "Interface",
    "KeyType",
    "declared_thresholds",
    "default_function",
    "functions_of",
    "read_interface",
    "training_inputs",
]

FeatureKind: TypeAlias = Literal[
    "image", "array", "dictionary", "string", "int64", "double", "sequence", "state"
]
FeatureColor: TypeAlias = Literal["gray", "rgb", "bgr", "gray-float16"]
KeyType: TypeAlias = Literal["string", "int64"]
FeatureType: TypeAlias = Literal["float16", "float32", "float64", "int8", "int32"] | KeyType

# The numbers of the enumerations in the specification's FeatureTypes.proto.
COLORS: dict[int, FeatureColor] = {10: "gray", 20: "rgb", 30: "bgr", 40: "gray-float16"}
ARRAY_TYPES: dict[int, FeatureType] = {
    65552: "float16",
    65568: "float32",
    65600: "float64",
    131080: "int8",
    131104: "int32",
}
MAX_ELEMENTS = 2**28
"""How many elements an input or output may have: 1 GiB of float32."""

Range = tuple[int, int | None]
"""The lowest and the highest size of a dimension; None: no upper bound."""


@dataclass(frozen=True)
class Feature:
    """One input, output or state of a model.

    Attributes:
        name: The feature's name.
        kind: `image`, `array`, `dictionary`, `string`, `int64`, `double`, `sequence` or `state`.
        shape: `(height, width)` of an image, the default shape of an array or state, else empty.
        dtype: The element type of an array or state as NumPy names it (Core ML's `DOUBLE` is
            `float64`); the key type of a dictionary, the element type of a sequence (`string` or
            `int64`). Empty if the file does not say.
        color: The color order of an image, else empty.
        shapes: Every allowed shape, if the file lists them.
        ranges: Lowest and highest size per dimension (None: no bound), if the file has ranges;
            for a sequence, one range: that of its length.
        optional: Whether the input may be left out.
        default: The value of every element of an array that is left out; None if the file has no
            default.
        description: The author's description.
    """

    name: str
    kind: FeatureKind
    shape: tuple[int, ...] = ()
    dtype: FeatureType | Literal[""] = ""
    color: FeatureColor | Literal[""] = ""
    shapes: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[Range, ...] = ()
    optional: bool = False
    default: float | None = None
    description: str = ""

    @property
    def channels(self) -> int:
        """The channels of an image: 3 for `rgb` and `bgr`, else 1."""
        return 3 if self.color in ("rgb", "bgr") else 1

    def allows(self, shape: tuple[int, ...]) -> bool:
        """Whether the file allows `shape` for this feature."""
        if self.shapes:
            return shape in self.shapes
        if self.ranges:
            return len(shape) == len(self.ranges) and all(
                low <= size and (high is None or size <= high)
                for size, (low, high) in zip(shape, self.ranges, strict=True)
            )
        return not self.shape or shape == self.shape

    def expected(self) -> str:
        """The allowed shapes as text for an error message, such as `1 × 2–4`."""

        def text(shape: Iterable[int | str]) -> str:
            return " × ".join(map(str, shape))

        if self.shapes:
            return " or ".join(text(shape) for shape in self.shapes)
        if self.ranges:
            return text(
                str(low) if low == high else f"{low}–{'∞' if high is None else high}"
                for low, high in self.ranges
            )
        return text(self.shape) if self.shape else "any shape"


@dataclass(frozen=True)
class Interface:
    """The inputs, outputs and states of one function of a model.

    Attributes:
        function: The function's name; `main` if the model has no functions.
        inputs, outputs, states: Its features, in declared order.
        label: The name of the output with the predicted label or value; empty if not declared.
        probabilities: The name of the output with the class probabilities; empty if not declared.
    """

    function: str
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    states: tuple[Feature, ...]
    label: str
    probabilities: str

    @property
    def image(self) -> Feature | None:
        """The only image input, or None if there is none or more than one input."""
        return self.inputs[0] if [f.kind for f in self.inputs] == ["image"] else None


def functions_of(file: ModelFile) -> tuple[str, ...]:
    """The names of the functions in the model's description; only `main` if it lists none."""
    return tuple(f.name for f in file.spec.description.functions) or ("main",)


def default_function(file: ModelFile) -> str:
    """The name of the function that runs if no other is chosen."""
    return file.spec.description.defaultFunctionName or functions_of(file)[0]


def read_interface(
    file: ModelFile, function: str | None = None, *, strict: bool = True
) -> Interface:
    """The interface of `function`, or of the default function.

    Args:
        file: The model.
        function: The function's name.
        strict: Refuse what cannot run: no features, sizes that are impossible, unknown types of
            elements, control characters in names. If false, it is only described.

    Raises:
        OptionError: The model has no function of this name.
        ModelFileError: A feature has no name, no type or an impossible size, or two have the same
            name.
        UnsupportedModelError: A feature has an unknown type.
    """
    description = file.spec.description
    names = functions_of(file)
    name = function or default_function(file)
    if name not in names:
        raise OptionError(f"{file.path} has no function {name!r}; {did_you_mean(name, names)}")
    source = next((f for f in description.functions if f.name == name), description)
    inputs, outputs, states = (
        tuple(_feature(file, message, strict) for message in messages)
        for messages in (source.input, source.output, source.state)
    )
    outputs = tuple(dict.fromkeys(outputs))  # a result that is returned twice is declared twice
    if strict:
        _check_interface(file, inputs, outputs, states)
    return Interface(
        name,
        inputs,
        outputs,
        states,
        source.predictedFeatureName,
        source.predictedProbabilitiesName,
    )


def training_inputs(file: ModelFile) -> tuple[Feature, ...]:
    """The inputs of an updatable model's training, described without checks."""
    return tuple(_feature(file, each, False) for each in file.spec.description.trainingInput)


def _check_interface(
    file: ModelFile,
    inputs: tuple[Feature, ...],
    outputs: tuple[Feature, ...],
    states: tuple[Feature, ...],
) -> None:
    """Raise an error if there are no features, or two of one name."""
    # An ML Program may have no inputs: its result may be a constant.
    program = file.spec.WhichOneof("Type") == "mlProgram"
    for group, present in (("inputs", program or inputs or states), ("outputs", outputs)):
        if not present:
            raise ModelFileError(f"{file.path} declares no {group}; the file is damaged")
    for features in ((*inputs, *states), outputs):
        counts = Counter(feature.name for feature in features)
        duplicates = sorted(name for name, count in counts.items() if count > 1)
        if duplicates:
            raise ModelFileError(f"{file.path} declares the feature {duplicates[0]!r} twice")


def _feature(file: ModelFile, message: Any, strict: bool) -> Feature:
    field: str | None = message.type.WhichOneof("Type")
    where = f"{file.path}: the feature {message.name!r}"
    if not message.name or field is None:
        raise ModelFileError(f"{where} has no {'type' if message.name else 'name'}")
    if strict and printable(message.name) != message.name:
        raise ModelFileError(f"{where} has control characters in its name; the file is damaged")
    common = {
        "name": message.name,
        "optional": message.type.isOptional,
        "description": message.shortDescription,
    }
    value = getattr(message.type, field)
    key: KeyType
    match field:
        case "imageType":
            return _image(value, where, common, strict)
        case "multiArrayType":
            return _array("array", value, where, common, strict)
        case "stateType":
            return _array("state", value.arrayType, where, common, strict)
        case "dictionaryType":
            key = "int64" if value.WhichOneof("KeyType") == "int64KeyType" else "string"
            return Feature(kind="dictionary", dtype=key, **common)
        case "sequenceType":
            key = "int64" if value.WhichOneof("Type") == "int64Type" else "string"
            ranges = (_range(value.sizeRange),) if value.HasField("sizeRange") else ()
            return Feature(kind="sequence", dtype=key, ranges=ranges, **common)
        case "int64Type":
            return Feature(kind="int64", **common)
        case "doubleType":
            return Feature(kind="double", **common)
        case "stringType":
            return Feature(kind="string", **common)
    raise UnsupportedModelError(f"{where} has the type {field}, which is not supported")


def _image(value: Any, where: str, common: dict[str, Any], strict: bool) -> Feature:
    if strict and value.colorSpace not in COLORS:
        raise ModelFileError(
            f"{where} has color space number {value.colorSpace}; "
            "expected gray, RGB, BGR or 16-bit gray"
        )
    flexibility = value.WhichOneof("SizeFlexibility")
    shapes: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[Range, ...] = ()
    shape: tuple[int, ...] = (value.height, value.width)
    if flexibility == "enumeratedSizes":
        shapes = tuple((size.height, size.width) for size in value.enumeratedSizes.sizes)
    elif flexibility == "imageSizeRange":
        sizes = value.imageSizeRange
        ranges = (_range(sizes.heightRange), _range(sizes.widthRange))
    if 0 in shape and (shapes or ranges):
        shape = shapes[0] if shapes else (ranges[0][0], ranges[1][0])
    color: FeatureColor | Literal[""] = COLORS.get(value.colorSpace, "")
    feature = Feature(
        kind="image", shape=shape, color=color, shapes=shapes, ranges=ranges, **common
    )
    for each in (shape, *shapes) if strict else ():
        _check_shape(each, where, feature.channels)
    return feature


def _array(
    kind: Literal["array", "state"], value: Any, where: str, common: dict[str, Any], strict: bool
) -> Feature:
    if strict and value.dataType and value.dataType not in ARRAY_TYPES:
        raise ModelFileError(
            f"{where} has data type number {value.dataType}; "
            f"expected one of {', '.join(ARRAY_TYPES.values())}"
        )
    flexibility = value.WhichOneof("ShapeFlexibility")
    shapes: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[Range, ...] = ()
    shape = tuple(value.shape)
    if 0 in shape:  # such as the 0 × 80 scores of a detector that has found nothing
        shape = ()
    if flexibility == "enumeratedShapes":
        shapes = tuple(tuple(each.shape) for each in value.enumeratedShapes.shapes)
        shape = shape or (shapes[0] if shapes else ())
    elif flexibility == "shapeRange":
        ranges = tuple(_range(each) for each in value.shapeRange.sizeRanges)
        # An output may have 0 rows, but no size of the default shape may be 0.
        shape = shape or tuple(max(low, 1) for low, _ in ranges)
    for each in (shape, *shapes) if strict else ():
        _check_shape(each, where, 1)
    default = value.WhichOneof("defaultOptionalValue")
    return Feature(
        kind=kind,
        shape=shape,
        dtype=ARRAY_TYPES.get(value.dataType, ""),
        shapes=shapes,
        ranges=ranges,
        default=None if default is None else getattr(value, default),
        **common,
    )


def _range(value: Any) -> Range:
    return (value.lowerBound, value.upperBound if value.upperBound >= 0 else None)


def _check_shape(shape: tuple[int, ...], where: str, channels: int) -> None:
    if len(shape) > MAX_RANK:
        raise ModelFileError(f"{where} has {len(shape)} dimensions; expected at most {MAX_RANK}")
    if any(size < 1 for size in shape) or math.prod(shape) * channels > MAX_ELEMENTS:
        raise ModelFileError(
            f"{where} has the shape {' × '.join(map(str, shape))}; "
            f"expected sizes of at least 1 and at most {MAX_ELEMENTS} elements"
        )


def declared_thresholds(file: ModelFile) -> Thresholds:
    """The confidence a label needs to be shown: from the user metadata, else the default.

    Raises:
        ModelFileError: The metadata are not valid thresholds.
    """
    text = file.spec.description.metadata.userDefined.get(THRESHOLDS_KEY)
    try:
        return Thresholds() if text is None else Thresholds.from_json(text)
    except OptionError as error:
        raise ModelFileError(
            f"{file.path}: its metadata {THRESHOLDS_KEY} cannot be used: {error}"
        ) from error
