"""Convert a PyTorch network to a Core ML model, through `torch.export`."""

from __future__ import annotations

import copy
import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketlens.compat import (
    COREMLTOOLS_UNSUPPORTED_NODE,
    COREMLTOOLS_WRITE_FAILED,
    coremltools_converts,
    coremltools_writes_programs,
)
from pocketlens.conversion.heads import Head, find_head, probe_images
from pocketlens.conversion.lowerings import LOWERINGS, lower
from pocketlens.conversion.metadata import IMAGE_FEATURE, LABEL_FEATURE, PROBABILITIES_FEATURE
from pocketlens.conversion.package import Format
from pocketlens.conversion.quiet import first_line, import_coremltools, quiet
from pocketlens.errors import ConversionError, OutputError
from pocketlens.image import InputSpec

__all__ = [
    "Classifier",
    "Precision",
    "check_logits",
    "frozen_copy",
    "head_of",
    "import_exporter",
    "to_core_ml",
]

Precision: TypeAlias = Literal["float16", "float32"]


class Classifier(nn.Module):
    """The computation of the Core ML file: planes `(N, C, H, W)` to probabilities `(N, K)`.

    Args:
        network: A module from `pixel * scale + bias`, `(N, C, H, W)`, to its outputs.
        head: The meaning of these outputs.
        temperature: Divides logits.
        scaling: Scale and bias, if this module applies them; None if the Core ML image input does.
    """

    scale: Tensor
    bias: Tensor

    def __init__(
        self,
        network: nn.Module,
        head: Head,
        *,
        temperature: float = 1.0,
        scaling: tuple[Sequence[float], Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.head = head
        self.temperature = temperature
        self.scaled = scaling is not None
        scale, bias = scaling or ((), ())
        self.register_buffer("scale", torch.tensor(scale).reshape(1, -1, 1, 1))
        self.register_buffer("bias", torch.tensor(bias).reshape(1, -1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Probabilities `(N, K)` of planes `(N, C, H, W)`."""
        if self.scaled:
            image = image * self.scale + self.bias
        outputs: Tensor = self.network(image)
        if self.head in ("logits", "logit") and self.temperature != 1:
            outputs = outputs / self.temperature
        if self.head == "logits":
            return torch.softmax(outputs, dim=1)
        if self.head == "probabilities":
            return outputs
        second = outputs if self.head == "probability" else torch.sigmoid(outputs)
        return torch.cat([1 - second, second], dim=1)


def frozen_copy(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode, on the CPU, in float32; the original does not change."""
    return copy.deepcopy(network).cpu().float().eval()


def head_of(network: nn.Module, labels: Sequence[str], input_spec: InputSpec) -> Head:
    """Detect the meaning of a network's outputs, see `find_head`.

    Args:
        network: A network from `pixel * scale + bias`, `(N, C, H, W)`, to its outputs.
        labels: The class names.
        input_spec: How an image becomes its input.

    Raises:
        ConversionError: The network does not process this input, or its outputs are not those of a
            classifier.
    """
    outputs = _probe(network, probe_images(input_spec), input_spec)
    return find_head(outputs, _last_activation(network), labels, "the network")


def check_logits(network: nn.Module, labels: Sequence[str], input_spec: InputSpec) -> None:
    """Check that a network that is known to return logits returns one per class.

    Args:
        network: A network from `pixel * scale + bias`, `(N, C, H, W)`, to logits.
        labels: The class names.
        input_spec: How an image becomes its input.

    Raises:
        ConversionError: The number differs, or the network does not process this input.
    """
    outputs = _probe(network, probe_images(input_spec), input_spec)
    find_head(outputs, "linear", labels, "the network")


def to_core_ml(
    network: nn.Module,
    *,
    head: Head,
    temperature: float,
    labels: Sequence[str],
    input_spec: InputSpec,
    format: Format,  # noqa: A002 - the word of the command line
    precision: Precision,
    folder: Path,
) -> tuple[Any, Path | None]:
    """Convert a network to a Core ML model.

    Args:
        network: A module on the CPU, in evaluation mode, from `pixel * scale + bias`,
            `(1, C, H, W)`, to its outputs.
        head: The meaning of these outputs.
        temperature: Divides logits.
        labels: The class names.
        input_spec: How an image becomes the network's input.
        format: `mlpackage` or `mlmodel`.
        precision: Of the arithmetic (`mlpackage`) or of the weights (`mlmodel`).
        folder: An empty folder for the weights file.

    Returns:
        The `Model` message, and the path of its weights file; None if it has none.

    Raises:
        ConversionError: PyTorch cannot export the network, or coremltools cannot convert it, or
            cannot write ML Programs on this system.
        OutputError: The temporary folder is full or cannot be written.
    """
    if format == "mlpackage" and not coremltools_writes_programs():
        raise ConversionError(
            "this build of coremltools cannot write ML Programs: its native library is missing, as "
            "on Windows; convert on Linux, macOS or in WSL, or use --format mlmodel"
        )
    # A Core ML image input has one scale for all channels, in both formats. coremltools accepts a
    # list for an ML Program, but applies it along the width.
    one_scale = len(set(input_spec.scale)) == 1
    classifier = Classifier(
        network,
        head,
        temperature=temperature,
        scaling=None if one_scale else (input_spec.scale, input_spec.bias),
    )
    ct = import_coremltools()
    program = _export(classifier, input_spec)
    image = ct.ImageType(
        name=IMAGE_FEATURE,
        shape=(1, input_spec.channels, input_spec.height, input_spec.width),
        color_layout={
            "gray": ct.colorlayout.GRAYSCALE,
            "rgb": ct.colorlayout.RGB,
            "bgr": ct.colorlayout.BGR,
        }[input_spec.color],
        scale=input_spec.scale[0] if one_scale else 1.0,
        bias=_bias(input_spec) if one_scale else None,
    )
    options = _target(ct, format, precision, folder)
    with quiet() as notes:
        try:
            converted = ct.convert(
                program,
                source="pytorch",
                inputs=[image],
                classifier_config=ct.ClassifierConfig(list(labels)),
                skip_model_load=True,
                **options,
            )
        except Exception as error:  # coremltools raises exceptions of any type
            if isinstance(error, OSError) or COREMLTOOLS_WRITE_FAILED in str(error):
                raise OutputError(
                    f"the temporary folder {folder.parent} cannot be written: "
                    f"{first_line(error)}; free some space, or set TMPDIR to another folder"
                ) from error
            raise ConversionError(_failure(error, notes.failed_op)) from error
        if format == "mlmodel":
            return _tidy_neural_network(ct, converted, precision), None
    spec = converted.get_spec()
    weights = Path(converted.weights_dir or "") / "weight.bin"
    return spec, weights if weights.is_file() else None


def _target(ct: Any, format: Format, precision: Precision, folder: Path) -> dict[str, Any]:  # noqa: A002
    if format == "mlmodel":
        return {"convert_to": "neuralnetwork"}
    computed = {"float16": ct.precision.FLOAT16, "float32": ct.precision.FLOAT32}
    return {
        "convert_to": "mlprogram",
        "minimum_deployment_target": ct.target.iOS16,
        "compute_precision": computed[precision],
        "package_dir": str(folder / "converted.mlpackage"),
    }


def _bias(input_spec: InputSpec) -> float | list[float]:
    # For gray, coremltools needs a number; a list of one number fails for a NeuralNetwork.
    return input_spec.bias[0] if input_spec.color == "gray" else list(input_spec.bias)


def _tidy_neural_network(ct: Any, converted: Any, precision: Precision) -> Any:
    if precision == "float16":
        halve = ct.models.neural_network.quantization_utils.quantize_weights
        try:
            with redirect_stdout(io.StringIO()):  # it prints a line for every layer
                halved = halve(converted, 16)
        except Exception as error:  # coremltools raises no more specific type
            raise ConversionError(
                f"coremltools cannot convert the weights to float16: {first_line(error)}; use "
                "precision float32"
            ) from error
        spec = halved.get_spec() if isinstance(halved, ct.models.MLModel) else halved
    else:
        spec = converted.get_spec()
    # The same names and the same order of outputs as in an ML Program.
    current = spec.description.predictedProbabilitiesName
    ct.utils.rename_feature(spec, current, PROBABILITIES_FEATURE)
    outputs = sorted(spec.description.output, key=lambda output: output.name != LABEL_FEATURE)
    copies = [copy.deepcopy(output) for output in outputs]
    del spec.description.output[:]
    spec.description.output.extend(copies)
    return spec


def _export(classifier: Classifier, input_spec: InputSpec) -> torch.export.ExportedProgram:
    example = torch.zeros(1, input_spec.channels, input_spec.height, input_spec.width)
    with quiet(), torch.no_grad():
        try:
            program = torch.export.export(classifier, (example,))
            program = _decompose(program)
        except Exception as error:  # the network's own code runs here
            raise ConversionError(
                f"PyTorch cannot export the network: {first_line(error)}; expected a forward "
                "without branches that depend on pixel values; see the guide of torch.export"
            ) from error
    lower(program)
    _rewrite_for_coremltools(program)
    return program


def import_exporter() -> None:
    """Import what `torch.export` imports when it is first used; it takes half a second."""
    with quiet(), torch.no_grad():
        torch.export.export(nn.Identity().eval(), (torch.zeros(1),))


def _decompose(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Express ops that coremltools does not know, such as `subtract`, in PyTorch's core ops."""
    table = torch.export.default_decompositions()

    def unknown() -> set[Any]:
        ops = {node.target for node in program.graph.nodes if node.op == "call_function"}
        return {
            op
            for op in ops
            if op in table and op not in LOWERINGS and not coremltools_converts(op.name())
        }

    tried: set[Any] = set()
    ops = unknown()
    while True:
        # Also with an empty table, because it turns the training program into an inference one.
        program = program.run_decompositions({op: table[op] for op in ops})
        tried |= ops
        ops = unknown() - tried
        if not ops:
            return program


def _rewrite_for_coremltools(program: torch.export.ExportedProgram) -> None:
    """Rewrite, in place, what coremltools cannot convert although Core ML can express it."""
    pools = (torch.ops.aten.max_pool2d.default, torch.ops.aten.avg_pool2d.default)
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        if node.target in pools and len(node.args) == 2:
            # PyTorch's default stride is the window size; coremltools expects an explicit stride.
            node.args = (*node.args, node.args[1])
        elif node.target == torch.ops.aten.alias.default:
            node.target = torch.ops.aten.clone.default  # the same computation


def _probe(
    network: nn.Module, images: NDArray[np.uint8], input_spec: InputSpec
) -> NDArray[np.float32]:
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


def _last_activation(network: nn.Module) -> str | None:
    if isinstance(network, nn.Sequential) and len(network):
        return _last_activation(network[-1])
    known: dict[type[nn.Module], str] = {
        nn.Linear: "linear",
        nn.Conv2d: "linear",
        nn.Softmax: "softmax",
        nn.Sigmoid: "sigmoid",
    }
    return known.get(type(network))


def _failure(error: Exception, failed_op: str | None) -> str:
    unsupported = COREMLTOOLS_UNSUPPORTED_NODE.match(str(error))
    op = unsupported[1] if unsupported else failed_op
    where = f" at op '{op}'" if op else ""
    return (
        f"coremltools cannot convert the network{where}: {first_line(error)}; "
        "replace that part of the network with an op that Core ML has"
    )
