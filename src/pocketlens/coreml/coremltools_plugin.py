"""coremltools' own `MLModel(...).predict` on any system, with this runtime in Core ML's place.

    from pocketlens.coreml import coremltools_plugin

    coremltools_plugin.install()
    coremltools.models.MLModel("Digits.mlpackage").predict({"image": picture})

coremltools reaches Core ML through one compiled module, `coremltools.libcoremlpython`, which only
its macOS wheel has. `install` puts a module of the same names there and lets coremltools believe
that it runs on macOS 15, so that tests written for a Mac check their numbers wherever they run.
What has no meaning without Apple's own Core ML (compiled models, compute plans) raises and says so.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from pocketlens.coreml.file.package import MAX_SPECIFICATION
from pocketlens.coreml.loading import load
from pocketlens.errors import MissingExtraError, PocketlensError

__all__ = ["MACOS", "install", "installed", "uninstall"]

MACOS = (15, 0)
"""The macOS version that coremltools sees."""

STAND_IN = "coremltools.libcoremlpython"


@contextmanager
def _as_core_ml(words: str = "") -> Iterator[None]:
    """coremltools expects a RuntimeError of what Core ML refuses; it gets one with our text.

    Args:
        words: What Core ML says in its place, put before our text.
    """
    try:
        yield
    except PocketlensError as error:
        raise RuntimeError(f"{words}: {error}" if words else str(error)) from error


class _State:
    """What coremltools' `MLState` wraps."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def read_state(self, name: str) -> Any:
        with _as_core_ml():
            return self.state.read(name)

    def write_state(self, name: str, value: Any) -> None:
        with _as_core_ml():
            self.state.write(name, value)


class _MLModelProxy:
    """What coremltools' `MLModel` wraps: a model that is loaded and runs."""

    def __init__(
        self,
        filename: str,
        compute_units: str = "ALL",  # noqa: ARG002
        function_name: str = "",
        optimization_hints: Mapping[str, str] | None = None,  # noqa: ARG002
        asset: Any = None,
    ) -> None:
        """Load the model file.

        Args:
            filename: A `.mlpackage` folder or a `.mlmodel` file.
            compute_units: Where Core ML may compute; here that is always the CPU.
            function_name: A function of an ML Program with several; its default one if empty.
            optimization_hints: Hints to Core ML's scheduling; they change no result.
            asset: A compiled model in memory, which only Core ML makes.

        Raises:
            RuntimeError: The file is damaged or does not run here; the text says why.
        """
        if asset is not None:
            raise RuntimeError("a model asset is made and read by Apple's Core ML only")
        started = time.perf_counter_ns()
        with _as_core_ml():
            self.model = load(filename, function=function_name or None)
        self._load_time = time.perf_counter_ns() - started
        self._predict_time: int | None = None

    def predict(self, data: Mapping[str, Any], state: _State | None = None) -> dict[str, Any]:
        """The outputs by name, as `CoreMLModel.run` gives them.

        As in Core ML, floating-point numbers that are given for whole ones lose their fraction, and
        pictures in color come with an alpha channel, which is opaque.
        """
        started = time.perf_counter_ns()
        given = dict(data)
        for feature in self.model.interface.inputs:
            array = given.get(feature.name)
            whole = feature.kind == "array" and feature.dtype.startswith("int")
            if whole and isinstance(array, np.ndarray) and array.dtype.kind == "f":
                given[feature.name] = np.trunc(array)
        with _as_core_ml("Error computing NN outputs"):
            outputs = self.model.run(given, state=None if state is None else state.state)
        for feature in self.model.interface.outputs:
            if feature.kind == "image" and feature.channels == 3:
                outputs[feature.name] = outputs[feature.name].convert("RGBA")
        self._predict_time = time.perf_counter_ns() - started
        return outputs

    def batchPredict(  # noqa: N802 (coremltools' name)
        self, data: list[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """The outputs of each of several inputs."""
        started = time.perf_counter_ns()
        outputs = [self.predict(each) for each in data]
        self._predict_time = time.perf_counter_ns() - started
        return outputs

    def newState(self) -> _State:  # noqa: N802 (coremltools' name)
        """An empty state."""
        with _as_core_ml():
            return _State(self.model.make_state())

    def get_load_duration_in_nano_seconds(self) -> int:
        return self._load_time

    def get_last_predict_duration_in_nano_seconds(self) -> int | None:
        return self._predict_time

    def get_compiled_model_path(self) -> str:
        raise _only_apple("a compiled model")

    @staticmethod
    def maximum_supported_specification_version() -> int:
        return MAX_SPECIFICATION

    @staticmethod
    def compileModel(path: str) -> str:  # noqa: N802 (coremltools' name)
        raise _only_apple(f"a compiled model (of {path})")

    @staticmethod
    def auto_set_specification_version(spec: Any) -> Any:
        given = spec.specificationVersion
        raise _only_apple(f"the lowest specification version that serves a model (of {given})")

    @staticmethod
    def get_compute_plan(path: str, compute_units: str) -> Any:
        raise _only_apple(f"a compute plan (of {path} on {compute_units})")

    @staticmethod
    def get_model_structure(path: str) -> Any:
        raise _only_apple(f"a model structure (of {path})")

    @staticmethod
    def create_model_asset_from_path(path: str) -> Any:
        raise _only_apple(f"a model asset (of {path})")

    @staticmethod
    def create_model_asset_from_memory(data: bytes, blobs: Mapping[str, bytes]) -> Any:
        raise _only_apple(f"a model asset (of {len(data)} bytes and {len(blobs)} blobs)")

    @staticmethod
    def get_all_compute_devices() -> list[Any]:
        """This computer's CPU, the only device here."""
        devices = importlib.import_module("coremltools.models.compute_device")
        return [devices.MLCPUComputeDevice(_MLCPUComputeDeviceProxy())]

    get_available_compute_devices = get_all_compute_devices


class _MLCPUComputeDeviceProxy:
    """What coremltools' `MLCPUComputeDevice` wraps."""


def _only_apple(what: str) -> RuntimeError:
    return RuntimeError(
        f"{what} is made by Apple's Core ML only; "
        "Pocketlens runs .mlpackage and .mlmodel files: MLModel(path).predict(...)"
    )


def _is_macos() -> bool:
    return True


def _macos_version() -> tuple[int, ...]:
    return MACOS


_ANSWERS: dict[str, Any] = {
    "_IS_MACOS": True,
    "_is_macos": _is_macos,
    "_macos_version": _macos_version,
    "_MLModelProxy": _MLModelProxy,
    "_MLCPUComputeDeviceProxy": _MLCPUComputeDeviceProxy,
    # Nothing makes one of these here; coremltools logs a warning for each that it does not find.
    "_MLGPUComputeDeviceProxy": type("_MLGPUComputeDeviceProxy", (), {}),
    "_MLNeuralEngineComputeDeviceProxy": type("_MLNeuralEngineComputeDeviceProxy", (), {}),
    "_MLComputePlanProxy": type("_MLComputePlanProxy", (), {}),
    "_MLModelAssetProxy": type("_MLModelAssetProxy", (), {}),
}

# Each name that was replaced: the module's namespace, the name, what stood there before.
_replaced: list[tuple[dict[str, Any], str, Any]] = []
_before: dict[str, ModuleType | None] = {}


def install() -> None:
    """Let coremltools predict with this runtime, from now on, in this process.

    Call it before or after `import coremltools`, but before other modules take the answers of
    `coremltools.utils._macos_version()` and the like at their import. A second call changes
    nothing, save for modules of coremltools imported since. On a Mac it takes Core ML's place too.

    Raises:
        MissingExtraError: coremltools is not installed.
    """
    if STAND_IN not in _before:
        _before[STAND_IN] = sys.modules.get(STAND_IN)
        module = ModuleType(STAND_IN, __doc__)
        vars(module).update({name: value for name, value in _ANSWERS.items() if "Proxy" in name})
        sys.modules[STAND_IN] = module
    try:
        coremltools = importlib.import_module("coremltools")
    except ImportError as error:
        uninstall()
        raise MissingExtraError("coremltools", "all", "running its MLModel.predict") from error
    _replace(vars(coremltools), "libcoremlpython", sys.modules[STAND_IN])
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "coremltools" and name != STAND_IN:
            for each in _ANSWERS.keys() & vars(module).keys():
                _replace(vars(module), each, _ANSWERS[each])


_ABSENT = object()


def _replace(namespace: dict[str, Any], name: str, value: Any) -> None:
    if namespace.get(name) is not value:
        _replaced.append((namespace, name, namespace.get(name, _ABSENT)))
        namespace[name] = value


def uninstall() -> None:
    """Give coremltools back what `install` replaced. Models loaded meanwhile keep running."""
    while _replaced:
        namespace, name, value = _replaced.pop()
        if value is _ABSENT:
            del namespace[name]
        else:
            namespace[name] = value
    if STAND_IN in _before:
        previous = _before.pop(STAND_IN)
        if previous is None:
            sys.modules.pop(STAND_IN, None)
        else:
            sys.modules[STAND_IN] = previous


@contextmanager
def installed() -> Iterator[None]:
    """`install` for the length of a `with` block; one inside another ends with the outer one."""
    outermost = STAND_IN not in _before
    install()
    try:
        yield
    finally:
        if outermost:
            uninstall()
