"""`CoreAIModel`: a loaded Core AI model, run by Apple's own interpreter."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreai.asset import AGAIN, IMAGE_INPUT, PROBABILITIES_OUTPUT, Asset, open_asset
from pocketlens.coreai.inspection import described
from pocketlens.coreai.session import Session
from pocketlens.errors import (
    CoreAIError,
    FeatureError,
    OptionError,
    UnsupportedModelError,
    did_you_mean,
)
from pocketlens.image import InputSpec
from pocketlens.prediction import Predictor, Thresholds, other_input, renamed

__all__ = ["MAX_MEMORY", "CoreAIModel", "Function", "TensorFeature", "inspect", "load"]

MAX_MEMORY = 4 << 30
"""How many bytes a model may need by default."""

BATCH_SECONDS = 1.0
"""About how long the process computes before it answers."""

MAX_BATCH_BYTES = 64 << 20

MAIN = "main"


@dataclass(frozen=True)
class TensorFeature:
    """An input, output or state of a function.

    Args:
        name: Its name.
        dtype: The NumPy type of its numbers, or Apple's name of another type.
        shape: The size of each dimension; None for any size.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    @property
    def expected(self) -> str:
        """Type and shape as text, such as `float32 (1, any, 3)`."""
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.dtype} ({sizes}{',' if len(self.shape) == 1 else ''})"

    def allows(self, shape: Sequence[int]) -> bool:
        """Whether an array may have this shape."""
        return len(shape) == len(self.shape) and all(
            wanted in (None, size) for wanted, size in zip(self.shape, shape, strict=True)
        )


@dataclass(frozen=True)
class Function:
    """A function of a model.

    Args:
        name: Its name, usually `main`.
        inputs: Its inputs, in order.
        outputs: Its outputs, in order.
        states: The arrays that it reads and changes.
    """

    name: str
    inputs: tuple[TensorFeature, ...]
    outputs: tuple[TensorFeature, ...]
    states: tuple[TensorFeature, ...]


def load(
    path: str | os.PathLike[str],
    *,
    function: str | None = None,
    time_limit: float | None = None,
    max_memory: int = MAX_MEMORY,
) -> CoreAIModel:
    """Load a Core AI model.

    Args:
        path: An `.aimodel` folder.
        function: The function to run; default: `main`, or the only one.
        time_limit: How many seconds one run may take; None for no limit. Loading may take 10
            minutes, or as long as a run but at least 10 seconds.
        max_memory: How many bytes the model may need.

    Raises:
        CoreAIError: It does not exist, or is damaged or unsafe, or Apple's interpreter refuses it;
            or it needs more memory or time than allowed.
        MissingExtraError: Apple's interpreter is not installed.
        OptionError: The model has no function of this name, or a limit is not positive.
    """
    if time_limit is not None and not time_limit > 0:
        raise OptionError(f"time_limit is {time_limit!r}; expected a positive number of seconds")
    if not max_memory > 0:
        raise OptionError(f"max_memory is {max_memory!r}; expected a positive number of bytes")
    asset = open_asset(path, max_memory=max_memory)
    session = Session(asset, time_limit=time_limit, max_memory=max_memory)
    try:
        return CoreAIModel(asset, session, function)
    except BaseException:
        session.close()
        raise


def inspect(path: str | os.PathLike[str], *, max_memory: int = MAX_MEMORY) -> dict[str, Any]:
    """Describe a Core AI model with plain values that can be written as JSON.

    Args:
        path: An `.aimodel` folder.
        max_memory: How many bytes the model may need.

    Returns:
        The keys of `pocketlens.coreml.inspect`, as far as they apply. `specification_version` is
        that of the folder's format, `opset` the oldest system that runs it, as `iOS27`. `ops` also
        counts the simpler ops that an op stands for. `weights` counts all constants by type.

    Raises:
        CoreAIError, MissingExtraError: As in `load`.
    """
    model = load(path, max_memory=max_memory)
    try:
        return model.inspect()
    finally:
        model.close()


class CoreAIModel(Predictor):
    """A loaded Core AI model. `load` creates it. Experimental.

    It runs in Apple's own interpreter, in a process of its own that starts with `load`.

        model = load("Digits.aimodel")
        model.predict("seven.jpg").label                     # "7"
        model.run({"image": pixels})["probabilities"]        # (1, 10)

    Attributes:
        path: The folder.
        functions: All functions of the model.
        function: The one that runs.
        asset: What the folder says about itself.
    """

    adaptable = False

    def __init__(self, asset: Asset, session: Session, function: str | None = None) -> None:
        self.path: Path = asset.path
        self.asset = asset
        self._session = session
        self.functions = tuple(_function(each, self.path) for each in session.open())
        self.function = self._chosen(function)
        self._classes = asset.labels
        self._spec = asset.input_spec
        if self._spec is not None:
            self._check_image(self._spec)

    def __repr__(self) -> str:
        return f"<CoreAIModel {self.path}>"

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of the probabilities; empty if this is not a classifier."""
        return self._classes

    @property
    def input_spec(self) -> InputSpec:
        """How images are prepared, from the custom metadata.

        Raises:
            FeatureError: The model does not say it.
        """
        if self._spec is None:
            taken = ", ".join(f"{each.name} ({each.expected})" for each in self.function.inputs)
            raise FeatureError(
                f"{self.path} takes {taken or 'nothing'}, and does not say that this is an image; "
                "call run() with its inputs by name"
            )
        return self._spec

    @property
    def thresholds(self) -> Thresholds:
        """The confidence a label needs to be shown: from the model, else the defaults."""
        return self.asset.thresholds or Thresholds()

    def with_input(self, *, labels: Sequence[str] | None = None, **values: Any) -> Self:
        """A copy that shares the process; see `Predictor.with_input`.

        Color, scale and bias are part of the model, which takes whole numbers from 0 to 255; for
        others, convert its source again.

        Raises:
            OptionError: As in `Predictor.with_input`; or another color, scale or bias.
        """
        other = copy.copy(self)
        other._spec = other_input(self.input_spec, values)
        for name in ("color", "scale", "bias"):
            if getattr(other._spec, name) != getattr(self.input_spec, name):
                raise OptionError(
                    f"the {name} of a Core AI model is part of its network and cannot be changed: "
                    f"{self.path} has {getattr(self.input_spec, name)}; convert its source again"
                )
        other._classes = renamed(self.classes, labels)
        return other

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The class probabilities, `(N, K)` float32, in the order of `classes`.

        Args:
            images: `(N, H, W, C)` uint8, gray or RGB, of the size in `input_spec`.

        Raises:
            FeatureError: The model is not an image classifier, or the images have another shape.
            CoreAIError: See `run`.
        """
        spec = self.input_spec
        if not self.classes:
            raise FeatureError(
                f"{self.path} is not a classifier: it has no classes; call run() for its outputs"
            )
        if images.ndim != 4 or images.shape[1:] != spec.shape or images.dtype != np.uint8:
            raise FeatureError(
                f"{self.path} takes images of shape (N, {spec.height}, {spec.width}, "
                f"{spec.channels}) uint8; received: {images.shape} {images.dtype}"
            )
        found = np.empty((len(images), len(self.classes)), np.float32)
        start, batch = 0, 1
        most = max(1, MAX_BATCH_BYTES // max(1, math.prod(spec.shape)))
        limit = self._session.time_limit
        target = BATCH_SECONDS if limit is None else min(BATCH_SECONDS, limit / 4)
        while start < len(images):
            part = images[start : start + batch]
            began = time.monotonic()
            outputs, _ = self._run({IMAGE_INPUT: part[:, None]}, {}, len(part))
            each = max(time.monotonic() - began, 1e-6) / len(part)
            found[start : start + len(part)] = outputs[PROBABILITIES_OUTPUT][:, 0]
            start += len(part)
            batch = max(1, min(most, int(target / each), 4 * batch))
        return found

    def run(
        self, inputs: Mapping[str, Any], *, state: dict[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Run the function once.

        Args:
            inputs: An array for each input, by name, or what NumPy converts to one, of the declared
                shape. Numbers are converted to the declared type, whole ones without a change.
            state: A state from `make_state`, whose arrays the run replaces; None for a function
                without states.

        Returns:
            The outputs by name. Types that NumPy does not have are float32.

        Raises:
            FeatureError: An input is missing, unknown, or has the wrong shape or type; or the state
                is missing or is that of another function.
            CoreAIError: Apple's interpreter crashes, refuses the inputs, or takes more time or
                memory than allowed.
        """
        given = self._given(inputs, self.function.inputs, "input")
        wanted = {each.name for each in self.function.states}
        if (state is None and wanted) or (state is not None and set(state) != wanted):
            raise FeatureError(
                f"{self.path} {'keeps no state; expected state=None' if not wanted else ''}"
                f"{'needs a state made by its own make_state()' if wanted else ''}"
            )
        states = self._given(state or {}, self.function.states, "state")
        outputs, kept = self._run({name: each[None] for name, each in given.items()}, states, 1)
        if state is not None:
            state.update({name: array[0] for name, array in kept.items()})
        return {name: array[0] for name, array in outputs.items()}

    def make_state(self) -> dict[str, NDArray[Any]]:
        """The arrays that the function keeps between runs, all zeros, by name.

        Raises:
            UnsupportedModelError: The function has no state, or one of any size.
        """
        if not self.function.states:
            raise UnsupportedModelError(f"{self.path} keeps no state between predictions")
        made = {}
        for each in self.function.states:
            if None in each.shape:
                raise UnsupportedModelError(
                    f"{self.path}: the state {each.name!r} is {each.expected}; expected a fixed "
                    "shape; pass arrays of your own as the state"
                )
            made[each.name] = np.zeros([size or 0 for size in each.shape], self._kind(each))
        return made

    def inspect(self) -> dict[str, Any]:
        """Describe the model with plain values that can be written as JSON; see `inspect`."""
        return described(self.asset, self._session.open(), self._session.summary())

    def close(self) -> None:
        """End the process; it also ends when this model is no longer used."""
        self._session.close()

    def _chosen(self, name: str | None) -> Function:
        names = {each.name: each for each in self.functions}
        if name is None:
            return names.get(MAIN, self.functions[0])
        if name not in names:
            raise OptionError(f"{self.path} has no function {name!r}; {did_you_mean(name, names)}")
        return names[name]

    def _check_image(self, spec: InputSpec) -> None:
        """Check that the function takes the pixels of the InputSpec, and returns the classes."""
        inputs = {each.name: each for each in self.function.inputs}
        outputs = {each.name: each for each in self.function.outputs}
        expected = TensorFeature(IMAGE_INPUT, "uint8", (1, *spec.shape))
        if inputs != {IMAGE_INPUT: expected}:
            found = ", ".join(f"{each.name} {each.expected}" for each in inputs.values())
            raise CoreAIError(
                f"{self.path}: its metadata say that it takes the {IMAGE_INPUT} "
                f"{expected.expected}, but it takes {found or 'nothing'}; {AGAIN}"
            )
        if self.classes:
            shape = (1, len(self.classes))
            scores = outputs.get(PROBABILITIES_OUTPUT)
            if scores is None or scores.shape != shape:
                raise CoreAIError(
                    f"{self.path} has {len(self.classes)} classes, but no output "
                    f"{PROBABILITIES_OUTPUT} {shape}; {AGAIN}"
                )

    def _given(
        self, arrays: Mapping[str, Any], features: Sequence[TensorFeature], what: str
    ) -> dict[str, NDArray[Any]]:
        names = {each.name for each in features}
        for name in arrays:
            if name not in names:
                raise FeatureError(
                    f"{self.path} has no {what} {name!r}; {did_you_mean(str(name), names)}"
                )
        found = {}
        for each in features:
            if each.name not in arrays:
                raise FeatureError(
                    f"{self.path} needs the {what} '{each.name}' ({each.expected}); "
                    f"received: {', '.join(map(str, arrays)) or 'nothing'}"
                )
            found[each.name] = self._array(each, arrays[each.name], what)
        return found

    def _array(self, feature: TensorFeature, value: Any, what: str) -> NDArray[Any]:
        array, kind = np.asarray(value), self._kind(feature)
        if array.dtype.kind not in "biuf" or not feature.allows(array.shape):
            raise FeatureError(
                f"{self.path}: the {what} {feature.name!r} is {feature.expected}; received: "
                f"{array.dtype} {array.shape}"
            )
        with np.errstate(all="ignore"):
            converted = array.astype(kind)
        if kind.kind in "biu" and not np.array_equal(converted, array):
            raise FeatureError(
                f"{self.path}: the {what} {feature.name!r} has whole numbers ({feature.dtype}); "
                f"received: {array.dtype} from {array.min()} to {array.max()}"
            )
        return np.ascontiguousarray(converted).reshape(array.shape)

    def _kind(self, feature: TensorFeature) -> np.dtype[Any]:
        try:
            kind = np.dtype(feature.dtype)
        except TypeError:
            kind = np.dtype(object)
        if kind.kind not in "biuf":
            raise UnsupportedModelError(
                f"{self.path}: {feature.name!r} has numbers of the type {feature.dtype}, which "
                "NumPy does not have; convert the model with float32 or float16 inputs"
            )
        return kind

    def _run(
        self, inputs: Mapping[str, NDArray[Any]], states: Mapping[str, NDArray[Any]], count: int
    ) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """Run `count` times; the first dimension of each input counts the runs."""
        head = {
            "function": self.function.name,
            "count": count,
            "inputs": [_row(name, each.dtype, each.shape[1:]) for name, each in inputs.items()],
            "states": [_row(name, each.dtype, each.shape) for name, each in states.items()],
        }
        data = b"".join(each.tobytes() for each in (*inputs.values(), *states.values()))
        answer, result = self._session.run(head, data)
        outputs, start = self._read(self.function.outputs, answer.get("outputs"), result, count, 0)
        kept, end = self._read(self.function.states, answer.get("states"), result, 1, start)
        if end != len(result):
            raise self._garbage()
        return outputs, kept

    def _read(
        self,
        features: Sequence[TensorFeature],
        rows: Any,
        data: bytes,
        count: int,
        start: int,
    ) -> tuple[dict[str, NDArray[Any]], int]:
        """The arrays of an answer, which is checked: the process is not trusted."""
        found = {}
        try:
            if [row["name"] for row in rows] != [each.name for each in features]:
                raise self._garbage()
            for row in rows:
                kind, shape = np.dtype(row["dtype"]), (count, *row["shape"])
                if kind.kind not in "biuf" or not all(type(s) is int and s >= 0 for s in shape):
                    raise self._garbage()
                length = math.prod(shape)
                array = np.frombuffer(data, kind, length, start) if length else np.empty(0, kind)
                found[row["name"]] = array.reshape(shape).copy()
                start += length * kind.itemsize
        except (TypeError, KeyError, ValueError) as error:
            raise self._garbage() from error
        return found, start

    def _garbage(self) -> CoreAIError:
        return CoreAIError(
            f"{self.path}: Apple's interpreter answers with other arrays than the model declares; "
            f"the file is damaged: {AGAIN}"
        )


def _row(name: str, dtype: np.dtype[Any], shape: Sequence[int]) -> dict[str, Any]:
    return {"name": name, "dtype": dtype.name, "shape": list(shape)}


def _function(found: Any, path: Path) -> Function:
    """A function as the process describes it, which is checked."""
    try:
        groups = [
            tuple(
                TensorFeature(
                    str(row["name"]),
                    str(row["dtype"]),
                    tuple(None if size is None else int(size) for size in row["shape"]),
                )
                for row in found[kind]
            )
            for kind in ("inputs", "outputs", "states")
        ]
        return Function(str(found["name"]), groups[0], groups[1], groups[2])
    except (TypeError, KeyError, ValueError) as error:
        raise CoreAIError(f"{path}: its functions cannot be read; {AGAIN}") from error
