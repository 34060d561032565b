"""Convert a PyTorch network to a Core ML model, through `torch.export`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketlens.compat import (
    COREMLTOOLS_UNSUPPORTED_NODE,
    COREMLTOOLS_WRITE_FAILED,
    coremltools_writes_programs,
)
from pocketlens.conversion.exporting import one_scale
from pocketlens.conversion.metadata import IMAGE_FEATURE
from pocketlens.conversion.neural_network import tidy_neural_network
from pocketlens.conversion.package import Format
from pocketlens.conversion.places import op_name, place_of
from pocketlens.conversion.precision.mixed import Precision, compute_precision
from pocketlens.conversion.quiet import first_line, import_coremltools, quiet
from pocketlens.errors import ConversionError, OutputError
from pocketlens.heads import Head
from pocketlens.image import InputSpec

__all__ = ["classified", "image_input", "outputs_of", "to_core_ml"]

_MAX_RANK = 5
"""Of a tensor in Core ML."""


def classified(head: Head, temperature: float) -> Callable[[Tensor], Tensor]:
    """The function from the outputs of a network `(N, K)` to probabilities."""

    def probabilities(outputs: Tensor) -> Tensor:
        if head in ("logits", "logit") and temperature != 1:
            outputs = outputs / temperature
        if head == "logits":
            return torch.softmax(outputs, dim=1)
        if head == "probabilities":
            return outputs
        second = outputs if head == "probability" else torch.sigmoid(outputs)
        return torch.cat([1 - second, second], dim=1)

    return probabilities


def to_core_ml(
    program: torch.export.ExportedProgram,
    inputs: Callable[[Any], list[Any]],
    *,
    format: Format,  # noqa: A002 - the word of the command line
    precision: Precision,
    folder: Path,
    labels: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> tuple[Any, Path | None]:
    """Convert an exported network to a Core ML model.

    Args:
        program: In core ops; of a classifier, to probabilities `(1, K)`.
        inputs: Returns the inputs in terms of coremltools, which is its argument.
        format: `mlpackage` or `mlmodel`.
        precision: Of the arithmetic (`mlpackage`) or of the weights (`mlmodel`).
        folder: An empty folder for the weights file.
        labels: The class names of a classifier.
        outputs: The names of the outputs of any other model.

    Returns:
        The `Model` message, and the path of its weights file; None if it has none.

    Raises:
        ConversionError: coremltools cannot convert the network, or cannot write ML Programs on
            this system.
        OutputError: The temporary folder is full or cannot be written.
    """
    if format == "mlpackage" and not coremltools_writes_programs():
        raise ConversionError(
            "this build of coremltools cannot write ML Programs: its native library is missing, as "
            "on Windows; convert on Linux, macOS or in WSL, or use --format mlmodel"
        )
    ct = import_coremltools()
    options = _target(ct, format, precision, folder)
    if labels:
        options["classifier_config"] = ct.ClassifierConfig(list(labels))
    else:
        options["outputs"] = [ct.TensorType(name=name) for name in outputs]
    with quiet() as notes, _copied_weights(program):
        try:
            converted = ct.convert(
                program,
                source="pytorch",
                inputs=inputs(ct),
                skip_model_load=True,
                **options,
            )
        except Exception as error:  # coremltools raises exceptions of any type
            if isinstance(error, OSError) or COREMLTOOLS_WRITE_FAILED in str(error):
                raise OutputError(
                    f"the temporary folder {folder.parent} cannot be written: "
                    f"{first_line(error)}; free some space, or set TMPDIR to another folder"
                ) from error
            raise ConversionError(_failure(error, notes.failed_op, program)) from error
        if format == "mlmodel":
            return tidy_neural_network(ct, converted, str(precision)), None
    spec = converted.get_spec()
    weights = Path(converted.weights_dir or "") / "weight.bin"
    return spec, weights if weights.is_file() else None


@contextmanager
def _copied_weights(program: torch.export.ExportedProgram) -> Iterator[None]:
    """Within: the program has copies of its weights, because coremltools changes some in place.

    For `conv(x) - bias`, it negates the bias, which is that of the network.
    """
    stores: tuple[dict[str, Any], ...] = (program.state_dict, program.constants)
    originals = [dict(store) for store in stores]
    for store in stores:
        store.update(
            {name: each.clone() for name, each in store.items() if isinstance(each, Tensor)}
        )
    try:
        yield
    finally:
        for store, original in zip(stores, originals, strict=True):
            store.update(original)


def image_input(ct: Any, input_spec: InputSpec, sizes: Sequence[tuple[int, int]] = ()) -> Any:
    """The image as input, in terms of coremltools; in one of several sizes if they are given."""
    one = one_scale(input_spec)
    shape: Any = (1, input_spec.channels, input_spec.height, input_spec.width)
    if sizes:
        shapes = [(*shape[:2], *size) for size in sizes]
        shape = ct.EnumeratedShapes(shapes=shapes, default=shape)
    return ct.ImageType(
        name=IMAGE_FEATURE,
        shape=shape,
        color_layout={
            "gray": ct.colorlayout.GRAYSCALE,
            "rgb": ct.colorlayout.RGB,
            "bgr": ct.colorlayout.BGR,
        }[input_spec.color],
        scale=input_spec.scale[0] if one else 1.0,
        bias=_bias(input_spec) if one else None,
    )


def _target(ct: Any, format: Format, precision: Precision, folder: Path) -> dict[str, Any]:  # noqa: A002
    if format == "mlmodel":
        return {"convert_to": "neuralnetwork"}
    return {
        "convert_to": "mlprogram",
        "minimum_deployment_target": ct.target.iOS16,
        "compute_precision": compute_precision(ct, precision),
        "package_dir": str(folder / "converted.mlpackage"),
    }


def _bias(input_spec: InputSpec) -> float | list[float]:
    # For gray, coremltools needs a number; a list of one number fails for a NeuralNetwork.
    return input_spec.bias[0] if input_spec.color == "gray" else list(input_spec.bias)


def outputs_of(
    network: nn.Module, images: NDArray[np.uint8], input_spec: InputSpec
) -> NDArray[np.float32]:
    """The outputs `(N, …)` of a network for images `(N, H, W, C)` uint8 that fit the InputSpec.

    Raises:
        ConversionError: The network cannot process them, or returns something else than a tensor.
    """
    planes = torch.from_numpy(input_spec.network_input(images))
    with torch.no_grad():
        try:
            # One image at a time, as the Core ML file does.
            each = [network(image[None]) for image in planes]
        except Exception as error:  # the network's own code runs here
            raise ConversionError(
                f"the network cannot process images of shape {tuple(planes.shape[1:])} "
                f"(channels, height, width): {first_line(error)}; expected an InputSpec that "
                "fits the network"
            ) from error
    if not isinstance(each[0], Tensor):
        raise ConversionError(
            f"the network returns a {type(each[0]).__name__}; expected one tensor (N, classes)"
        )
    return torch.cat(each).float().numpy()


def _failure(error: Exception, failed_op: str | None, program: torch.export.ExportedProgram) -> str:
    unsupported = COREMLTOOLS_UNSUPPORTED_NODE.match(str(error))
    op = unsupported[1] if unsupported else failed_op
    where = f" at op '{op}'{_places(program, op)}" if op else _named_node(str(error), program)
    return (
        f"coremltools cannot convert the network{where}: {first_line(error)}; "
        "replace that part of the network with an op that Core ML has"
    )


def _named_node(message: str, program: torch.export.ExportedProgram) -> str:
    """The op and layer of the first node that a message names, such as `Layer "view_3"`.

    For a tensor of too high a rank, it may name a part of a node; then the first such node counts.
    """
    nodes = {node.name: node for node in program.graph.nodes if node.op == "call_function"}
    found = [nodes[name] for name in re.findall(r'"(\w+)"', message) if name in nodes]
    if "rank" in message:
        ranks = {node: getattr(node.meta.get("val"), "ndim", 0) for node in nodes.values()}
        found += [node for node, rank in ranks.items() if rank > _MAX_RANK]
    return f" at op '{op_name(found[0])}'{place_of(found[0])}" if found else ""


def _places(program: torch.export.ExportedProgram, op: str) -> str:
    """The layers of an op, if it has only one place in the network."""
    short = op.split(".")[0]
    nodes = [each for each in program.graph.nodes if op_name(each).strip("_") == short.strip("_")]
    places = list(dict.fromkeys(map(place_of, nodes)))
    return places[0] if len(places) == 1 else ""
