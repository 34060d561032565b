"""A PyTorch network, through `torch.export`, into a Core ML spec."""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketlens.conversion.heads import Head, find_head, probe_images
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
    """Image planes `(N, C, H, W)` to probabilities `(N, K)`: what the Core ML file computes.

    Args:
        network: `pixel * scale + bias`, `(N, C, H, W)`, to its outputs.
        head: What these outputs are.
        temperature: What logits are divided by.
        scaling: Scale and bias, if they are applied here and not by the Core ML image input.
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
        if self.scaled:
            image = image * self.scale + self.bias
        outputs = self.network(image)
        if self.head in ("logits", "logit") and self.temperature != 1:
            outputs = outputs / self.temperature
        if self.head == "logits":
            return torch.softmax(outputs, dim=1)
        if self.head == "probabilities":
            return outputs
        second = outputs if self.head == "probability" else torch.sigmoid(outputs)
        return torch.cat([1 - second, second], dim=1)


def frozen_copy(network: nn.Module) -> nn.Module:
    """A copy for inference on the CPU in float32; the caller's network stays as it is."""
    return copy.deepcopy(network).cpu().float().eval()


def head_of(network: nn.Module, labels: Sequence[str], input_spec: InputSpec) -> Head:
    """What a network of unknown making gives: see `find_head`.

    Raises:
        ConversionError: A network that does not take this input, or gives no numbers a class.
    """
    outputs = _probe(network, probe_images(input_spec), input_spec)
    return find_head(outputs, _last_activation(network), labels, "the network")


def check_logits(network: nn.Module, labels: Sequence[str], input_spec: InputSpec) -> None:
    """See that a network that is known to give logits gives one a class.

    Raises:
        ConversionError: It does not, or does not take this input.
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
    """The Core ML spec message of a network and the path of its weights file, if it has one.

    Args:
        network: On the CPU, for inference; `pixel * scale + bias`, `(1, C, H, W)`, to its outputs.
        folder: An empty folder in which the weights file is left.

    Raises:
        ConversionError: PyTorch cannot export it, or coremltools cannot convert it.
    """
    # An image input has one scale for all channels, in both dialects; coremltools takes a list of
    # them for an ML Program but multiplies it along the width.
    together = len(set(input_spec.scale)) == 1
    classifier = Classifier(
        network,
        head,
        temperature=temperature,
        scaling=None if together else (input_spec.scale, input_spec.bias),
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
        scale=input_spec.scale[0] if together else 1.0,
        bias=_bias(input_spec) if together else None,
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
        except Exception as error:  # coremltools raises whatever its op functions meet
            if isinstance(error, OSError) or "FileWriter" in str(error):
                raise OutputError(
                    f"the temporary folder {folder.parent} cannot be written: "
                    f"{first_line(error)}; make room there, or name another one in TMPDIR"
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
    # coremltools wants a number for gray; a list of one fails for a NeuralNetwork.
    return input_spec.bias[0] if input_spec.color == "gray" else list(input_spec.bias)


def _tidy_neural_network(ct: Any, converted: Any, precision: Precision) -> Any:
    if precision == "float16":
        halve = ct.models.neural_network.quantization_utils.quantize_weights
        try:
            with redirect_stdout(io.StringIO()):  # it prints a line for every layer
                halved = halve(converted, 16)
        except Exception as error:  # coremltools raises nothing more special
            raise ConversionError(
                f"coremltools cannot halve the weights: {first_line(error)}; convert it "
                "with the precision float32"
            ) from error
        spec = halved.get_spec() if isinstance(halved, ct.models.MLModel) else halved
    else:
        spec = converted.get_spec()
    # An ML Program's outputs have these names, in this order.
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
                "without branches that depend on pixel values, see torch.export's guide"
            ) from error
    _rewrite_what_coremltools_misses(program)
    return program


def import_exporter() -> None:
    """Import what `torch.export` imports when it is first used; it takes half a second."""
    with quiet(), torch.no_grad():
        torch.export.export(nn.Identity().eval(), (torch.zeros(1),))


def _decompose(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Ops that coremltools does not know, such as `subtract`, said in PyTorch's core ops."""
    from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY

    table = torch.export.default_decompositions()

    def unknown() -> set[Any]:
        ops = {node.target for node in program.graph.nodes if node.op == "call_function"}
        return {op for op in ops if op in table and _TORCH_OPS_REGISTRY.get_func(op.name()) is None}

    tried: set[Any] = set()
    ops = unknown()
    while True:
        # Also with an empty table: it takes the training program to the inference one.
        program = program.run_decompositions({op: table[op] for op in ops})
        tried |= ops
        ops = unknown() - tried
        if not ops:
            return program


def _rewrite_what_coremltools_misses(program: torch.export.ExportedProgram) -> None:
    pools = (torch.ops.aten.max_pool2d.default, torch.ops.aten.avg_pool2d.default)
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        if node.target in pools and len(node.args) == 2:
            # PyTorch's default stride is the window; coremltools expects it to be written.
            node.args = (*node.args, node.args[1])
        elif node.target == torch.ops.aten.alias.default:
            node.target = torch.ops.aten.clone.default  # the same, by a name that it knows


def _probe(
    network: nn.Module, images: NDArray[np.uint8], input_spec: InputSpec
) -> NDArray[np.float32]:
    planes = torch.from_numpy(input_spec.network_input(images))
    with torch.no_grad():
        try:
            outputs = network(planes)
        except Exception as error:  # the network's own code runs here
            raise ConversionError(
                f"the network does not take images of shape {tuple(planes.shape[1:])} "
                f"(channels, height, width): {first_line(error)}; expected an InputSpec that "
                "fits the network"
            ) from error
    if not isinstance(outputs, Tensor):
        raise ConversionError(
            f"the network returns a {type(outputs).__name__}; expected one tensor (N, classes)"
        )
    return outputs.float().numpy()


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
    unsupported = re.match(r"Unsupported fx node \S+, kind (\w+)", str(error))
    op = unsupported[1] if unsupported else failed_op
    where = f" at op '{op}'" if op else ""
    return (
        f"coremltools cannot convert the network{where}: {first_line(error)}; "
        "replace that part of the network by one that Core ML has"
    )
