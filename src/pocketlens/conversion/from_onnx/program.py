"""A prepared ONNX network as a Core ML program, through the package onnx2coreml."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pocketlens.compat import COREMLTOOLS_WRITE_FAILED, coremltools_writes_programs
from pocketlens.conversion.from_onnx.preparing import Prepared
from pocketlens.conversion.from_onnx.reading import node_text
from pocketlens.conversion.neural_network import tidy_neural_network
from pocketlens.conversion.package import Format
from pocketlens.conversion.precision.mixed import Precision, compute_precision
from pocketlens.conversion.quiet import first_line, import_coremltools, quiet
from pocketlens.errors import ConversionError, OutputError, missing_package, printable

__all__ = ["known_ops", "to_core_ml"]


def known_ops() -> frozenset[str]:
    """The ONNX ops that have a lowering.

    Raises:
        MissingExtraError: onnx2coreml is not installed.
    """
    import_converter()
    from pocketlens.conversion.from_onnx.lowerings import LIBRARY, LOWERINGS

    return frozenset((*LIBRARY, *LOWERINGS))


def import_converter() -> Any:
    """The package onnx2coreml."""
    import_coremltools()
    try:
        import onnx2coreml
    except ModuleNotFoundError as error:
        raise missing_package(error, purpose="converting an ONNX network") from error
    return onnx2coreml


def to_core_ml(
    prepared: Prepared,
    *,
    format: Format,  # noqa: A002 - the word of the command line
    precision: Precision,
    folder: Path,
    labels: Sequence[str] = (),
    color: str | None = None,
) -> tuple[Any, Path | None]:
    """Convert a prepared network to a Core ML model.

    Args:
        prepared: The network; with `labels`, it has one output, probabilities `(1, K)`.
        format: `mlpackage` or `mlmodel`.
        precision: Of the arithmetic (`mlpackage`) or of the weights (`mlmodel`).
        folder: An empty folder for the weights file.
        labels: The class names of a classifier.
        color: The colors of the only input, an image `(1, C, H, W)`: `gray`, `rgb` or `bgr`; None
            if the inputs are arrays.

    Returns:
        The `Model` message, and the path of its weights file; None if it has none.

    Raises:
        ConversionError: A node cannot be converted; the message names it and its op.
        OutputError: The temporary folder cannot be written.
    """
    if format == "mlpackage" and not coremltools_writes_programs():
        raise ConversionError(
            "this build of coremltools cannot write ML Programs: its native library is missing, as "
            "on Windows; convert on Linux, macOS or in WSL, or use --format mlmodel"
        )
    ct = import_coremltools()
    options: dict[str, Any] = {"convert_to": "neuralnetwork"}
    target = ct.target.iOS16
    if format == "mlpackage":
        options = {
            "convert_to": "mlprogram",
            "minimum_deployment_target": target,
            "compute_precision": compute_precision(ct, precision),
            "package_dir": str(folder / "converted.mlpackage"),
        }
    if labels:
        options["classifier_config"] = ct.ClassifierConfig(list(labels))
    if color is not None:
        layouts = {
            "gray": ct.colorlayout.GRAYSCALE,
            "rgb": ct.colorlayout.RGB,
            "bgr": ct.colorlayout.BGR,
        }
        (image,) = prepared.model.graph.input
        shape = tuple(dim.dim_value for dim in image.type.tensor_type.shape.dim)
        options["inputs"] = [
            ct.ImageType(name=image.name, shape=shape, color_layout=layouts[color])
        ]
    with quiet():
        program = _program(prepared, target, saturate=precision == "float16")
        try:
            converted = ct.convert(program, source="milinternal", skip_model_load=True, **options)
        except Exception as error:  # coremltools raises exceptions of any type
            if isinstance(error, OSError) or COREMLTOOLS_WRITE_FAILED in str(error):
                raise OutputError(
                    f"the temporary folder {folder} cannot be written: {first_line(error)}; free "
                    "some space, or set TMPDIR to another folder"
                ) from error
            raise ConversionError(
                f"coremltools cannot convert the network: {first_line(error)}; try --format "
                f"{'mlmodel' if format == 'mlpackage' else 'mlpackage'}, or export the network "
                "again with other ops"
            ) from error
    if format == "mlmodel":
        return tidy_neural_network(ct, converted, str(precision)), None
    weights = Path(converted.weights_dir or "") / "weight.bin"
    return converted.get_spec(), weights if weights.is_file() else None


def _program(prepared: Prepared, target: Any, *, saturate: bool) -> Any:
    """The network in coremltools' own form, its constants within the range of float16 if asked."""
    ct, package = import_coremltools(), import_converter()
    from pocketlens.conversion.from_onnx.lowerings import LOWERINGS

    converter = package.Converter()
    for op, lowering in LOWERINGS.items():
        converter.register(op)(_adapted(op, lowering, prepared))
    _check_library(prepared)
    try:
        return converter.to_mil(
            prepared.model,
            target=target,
            precision=ct.precision.FLOAT16 if saturate else ct.precision.FLOAT32,
            fuse=False,
        )
    except package.Onnx2CoreMLError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, ConversionError):  # one of ours, which names the node
            raise cause from error
        raise ConversionError(
            f"onnx2coreml cannot convert the network: {_text(error)}; export the network again "
            "with other ops"
        ) from error
    except Exception as error:  # coremltools' builder raises exceptions of any type
        raise ConversionError(
            f"onnx2coreml cannot convert the network: {printable(first_line(error))}; export the "
            "network again with other ops"
        ) from error


def _check_library(prepared: Prepared) -> None:
    """Refuse attributes that onnx2coreml would ignore."""
    from pocketlens.conversion.from_onnx.lowerings import LIBRARY, LOWERINGS

    for node in prepared.model.graph.node:
        if node.op_type in LIBRARY and node.op_type not in LOWERINGS:
            for attribute in node.attribute:
                if attribute.name not in LIBRARY[node.op_type]:
                    raise ConversionError(_refusal(node, attribute.name))


def _refusal(node: Any, attribute: str) -> str:
    return (
        f"{node_text(node)} sets {printable(attribute)}, which has no counterpart in Core ML; "
        "export the network again without it"
    )


def _adapted(op: str, lowering: Callable[..., Any], prepared: Prepared) -> Callable[..., Any]:
    """A lowering in the form that onnx2coreml calls: with its context and the node."""
    from pocketlens.conversion.from_onnx.lowerings import IGNORED

    parameters = inspect.signature(lowering).parameters
    open_ended = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())

    def lower(context: Any, node: Any) -> list[Any]:
        import onnx

        given: dict[str, Any] = {}
        for attribute in node.attribute:
            if attribute.name in IGNORED.get(op, ()):
                continue
            known = parameters.get(attribute.name)
            if not open_ended and (known is None or known.kind is not known.KEYWORD_ONLY):
                raise ConversionError(_refusal(node, attribute.name))
            given[attribute.name] = _value(onnx.helper.get_attribute_value(attribute))
        if "outputs" in parameters:
            given["outputs"] = len(node.output)
        if "op" in parameters:
            given["op"] = op
        if "types" in parameters:
            given["types"] = [_kind(prepared, name) for name in node.input]
        inputs = [context.values_map[name] if name else None for name in node.input]
        try:
            made = lowering(*inputs, **given)
        except ConversionError as error:
            text = f"{node_text(node)} cannot be converted: {error}"
            way = "" if ";" in str(error) else "; export the network again without it"
            raise ConversionError(text + way) from error
        except OutputError:
            raise
        except Exception as error:  # coremltools' builder raises exceptions of any type
            raise ConversionError(
                f"{node_text(node)} cannot be converted: {first_line(error)}; export the network "
                "again with other ops"
            ) from error
        results = list(made) if isinstance(made, (tuple, list)) else [made]
        if extra := [name for name in list(node.output)[len(results) :] if name]:
            raise ConversionError(
                f"{node_text(node)} has the output '{extra[0]}', which has no counterpart in Core "
                "ML; export the network without it"
            )
        results = results[: len(node.output)]
        results += [None] * (len(node.output) - len(results))
        taken = {id(value) for value in context.values_map.values()}
        return [
            _named(value, name, taken) for value, name in zip(results, node.output, strict=True)
        ]

    return lower


def _named(value: Any, name: str, taken: set[int]) -> Any:
    """A result under the name that it has in the network."""
    from pocketlens.conversion.from_onnx.lowerings.registry import mb

    if value is None or not name:
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return mb.const(val=value, name=name)
    if id(value) in taken or value.op is None or value.op.op_type == "const":
        return mb.identity(x=value, name=name)
    value.set_name(name)
    return value


def _value(value: Any) -> Any:
    return (
        value.decode(errors="replace")
        if isinstance(value, bytes)
        else ([_value(each) for each in value] if isinstance(value, (list, tuple)) else value)
    )


def _kind(prepared: Prepared, name: str) -> int:
    """ONNX's number of the type that a tensor has in the file; 0 if it is not known."""
    import onnx

    dtype = prepared.types.get(name)
    return 0 if dtype is None else int(onnx.helper.np_dtype_to_tensor_dtype(dtype))


def _text(error: Exception) -> str:
    return printable(" ".join(str(error).split()))[:300]
