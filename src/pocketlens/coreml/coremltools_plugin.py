"""Makes coremltools' own `MLModel(...).predict` work on any operating system.

    from pocketlens.coreml import coremltools_plugin

    coremltools_plugin.install()
    coremltools.models.MLModel("Digits.mlpackage").predict({"image": image})

coremltools calls Core ML through one compiled module, `coremltools.libcoremlpython`, which only its
macOS wheel contains. `install` replaces it by a module with the same names that calls this runtime,
and makes coremltools believe that it runs on macOS 15. Tests that were written for a Mac then check
their numbers on any system. Features that only Apple's Core ML has (compiled models, compute plans)
raise a RuntimeError that says so.
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
from pocketlens.coreml.file.time_limit import default_time_limit
from pocketlens.coreml.loading import load
from pocketlens.errors import MissingExtraError, PocketlensError

__all__ = ["MACOS", "install", "installed", "uninstall"]

MACOS = (15, 0)
"""The macOS version that coremltools sees."""

MODULE = "coremltools.libcoremlpython"
"""The compiled module that `install` replaces."""


@contextmanager
def _as_runtime_error(prefix: str = "") -> Iterator[None]:
    """Turn our errors into the RuntimeError that coremltools expects, with the same message.

    Args:
        prefix: Core ML's own message, put in front of ours.
    """
    try:
        yield
    except PocketlensError as error:
        raise RuntimeError(f"{prefix}: {error}" if prefix else str(error)) from error


class _StateProxy:
    """The object inside coremltools' `MLState`."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def read_state(self, name: str) -> Any:
        with _as_runtime_error():
            return self.state.read(name)

    def write_state(self, name: str, value: Any) -> None:
        with _as_runtime_error():
            self.state.write(name, value)


class _MLModelProxy:
    """The object inside coremltools' `MLModel`: a loaded model."""

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
            compute_units: The hardware that Core ML may use; here it is always the CPU.
            function_name: A function of an ML Program with several; empty: the default one.
            optimization_hints: Hints for Core ML's scheduling; they do not change results.
            asset: A compiled model in memory; only Core ML can create and read it.

        Raises:
            RuntimeError: The file is damaged or cannot run here; the message says why.
        """
        if asset is not None:
            raise RuntimeError("only Apple's Core ML can create and read a model asset")
        started = time.perf_counter_ns()
        with _as_runtime_error():
            self.model = load(
                filename, function=function_name or None, time_limit=default_time_limit()
            )
        self._load_time = time.perf_counter_ns() - started
        self._predict_time: int | None = None

    def predict(self, data: Mapping[str, Any], state: _StateProxy | None = None) -> dict[str, Any]:
        """Run the model and return its outputs by name, as `CoreMLModel.run` does.

        Two differences, as in Core ML: floating-point numbers for an integer input are truncated,
        and color images have an alpha channel, which is opaque.
        """
        started = time.perf_counter_ns()
        inputs = dict(data)
        for feature in self.model.interface.inputs:
            array = inputs.get(feature.name)
            whole = feature.kind == "array" and feature.dtype.startswith("int")
            if whole and isinstance(array, np.ndarray) and array.dtype.kind == "f":
                inputs[feature.name] = np.trunc(array)
        with _as_runtime_error("Error computing NN outputs"):
            outputs = self.model.run(inputs, state=None if state is None else state.state)
        for feature in self.model.interface.outputs:
            if feature.kind == "image" and feature.channels == 3:
                outputs[feature.name] = outputs[feature.name].convert("RGBA")
        self._predict_time = time.perf_counter_ns() - started
        return outputs

    def batchPredict(  # noqa: N802 (coremltools' name)
        self, data: list[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """`predict` for each of several inputs."""
        started = time.perf_counter_ns()
        outputs = [self.predict(each) for each in data]
        self._predict_time = time.perf_counter_ns() - started
        return outputs

    def newState(self) -> _StateProxy:  # noqa: N802 (coremltools' name)
        """A new state, all zeros."""
        with _as_runtime_error():
            return _StateProxy(self.model.make_state())

    def get_load_duration_in_nano_seconds(self) -> int:
        return self._load_time

    def get_last_predict_duration_in_nano_seconds(self) -> int | None:
        return self._predict_time

    def get_compiled_model_path(self) -> str:
        raise _apple_only("a compiled model")

    @staticmethod
    def maximum_supported_specification_version() -> int:
        return MAX_SPECIFICATION

    @staticmethod
    def compileModel(path: str) -> str:  # noqa: N802 (coremltools' name)
        raise _apple_only(f"a compiled model (of {path})")

    @staticmethod
    def auto_set_specification_version(spec: Any) -> Any:
        version = spec.specificationVersion
        raise _apple_only(f"the lowest specification version for a model (of version {version})")

    @staticmethod
    def get_compute_plan(path: str, compute_units: str) -> Any:
        raise _apple_only(f"a compute plan (of {path} on {compute_units})")

    @staticmethod
    def get_model_structure(path: str) -> Any:
        raise _apple_only(f"a model structure (of {path})")

    @staticmethod
    def create_model_asset_from_path(path: str) -> Any:
        raise _apple_only(f"a model asset (of {path})")

    @staticmethod
    def create_model_asset_from_memory(data: bytes, blobs: Mapping[str, bytes]) -> Any:
        raise _apple_only(f"a model asset (of {len(data)} bytes and {len(blobs)} blobs)")

    @staticmethod
    def get_all_compute_devices() -> list[Any]:
        """This computer's CPU, the only device here."""
        devices = importlib.import_module("coremltools.models.compute_device")
        return [devices.MLCPUComputeDevice(_MLCPUComputeDeviceProxy())]

    get_available_compute_devices = get_all_compute_devices


class _MLCPUComputeDeviceProxy:
    """The object inside coremltools' `MLCPUComputeDevice`."""


def _apple_only(what: str) -> RuntimeError:
    return RuntimeError(
        f"{what} is made by Apple's Core ML only; "
        "Pocketlens runs .mlpackage and .mlmodel files: MLModel(path).predict(...)"
    )


def _is_macos() -> bool:
    return True


def _macos_version() -> tuple[int, ...]:
    return MACOS


_REPLACEMENTS: dict[str, Any] = {
    "_IS_MACOS": True,
    "_is_macos": _is_macos,
    "_macos_version": _macos_version,
    "_MLModelProxy": _MLModelProxy,
    "_MLCPUComputeDeviceProxy": _MLCPUComputeDeviceProxy,
    # Never used here, but coremltools logs a warning for each of them that is missing.
    "_MLGPUComputeDeviceProxy": type("_MLGPUComputeDeviceProxy", (), {}),
    "_MLNeuralEngineComputeDeviceProxy": type("_MLNeuralEngineComputeDeviceProxy", (), {}),
    "_MLComputePlanProxy": type("_MLComputePlanProxy", (), {}),
    "_MLModelAssetProxy": type("_MLModelAssetProxy", (), {}),
}

# Each replaced name: the module's namespace, the name, the original object.
_replaced: list[tuple[dict[str, Any], str, Any]] = []
_original_module: dict[str, ModuleType | None] = {}


def install() -> None:
    """Make coremltools predict with this runtime, in this process, until `uninstall`.

    Call it before or after `import coremltools`, but before the import of any other module that
    calls `coremltools.utils._macos_version()` or the like at its import. A second call only has an
    effect on modules of coremltools that were imported after the first. On a Mac it replaces
    Core ML, too.

    Raises:
        MissingExtraError: coremltools is not installed.
    """
    if MODULE not in _original_module:
        _original_module[MODULE] = sys.modules.get(MODULE)
        module = ModuleType(MODULE, __doc__)
        proxies = {name: value for name, value in _REPLACEMENTS.items() if "Proxy" in name}
        vars(module).update(proxies)
        sys.modules[MODULE] = module
    try:
        coremltools = importlib.import_module("coremltools")
    except ImportError as error:
        uninstall()
        raise MissingExtraError("coremltools", purpose="running its MLModel.predict") from error
    _replace(vars(coremltools), "libcoremlpython", sys.modules[MODULE])
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "coremltools" and name != MODULE:
            for each in _REPLACEMENTS.keys() & vars(module).keys():
                _replace(vars(module), each, _REPLACEMENTS[each])


_ABSENT = object()


def _replace(namespace: dict[str, Any], name: str, value: Any) -> None:
    if namespace.get(name) is not value:
        _replaced.append((namespace, name, namespace.get(name, _ABSENT)))
        namespace[name] = value


def uninstall() -> None:
    """Undo `install`. Models that were loaded in between keep running."""
    while _replaced:
        namespace, name, value = _replaced.pop()
        if value is _ABSENT:
            del namespace[name]
        else:
            namespace[name] = value
    if MODULE in _original_module:
        original = _original_module.pop(MODULE)
        if original is None:
            sys.modules.pop(MODULE, None)
        else:
            sys.modules[MODULE] = original


@contextmanager
def installed() -> Iterator[None]:
    """`install` for a `with` block. Blocks may be nested: only the outermost one uninstalls."""
    outermost = MODULE not in _original_module
    install()
    try:
        yield
    finally:
        if outermost:
            uninstall()
