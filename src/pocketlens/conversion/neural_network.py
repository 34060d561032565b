"""What is the same for every NeuralNetwork that coremltools makes."""

from __future__ import annotations

import copy
import io
from contextlib import redirect_stdout
from typing import Any

from pocketlens.conversion.metadata import LABEL_FEATURE, PROBABILITIES_FEATURE
from pocketlens.conversion.quiet import first_line
from pocketlens.errors import ConversionError

__all__ = ["tidy_neural_network"]


def tidy_neural_network(ct: Any, converted: Any, precision: str) -> Any:
    """The `Model` message of a NeuralNetwork, its weights in the precision that is asked for.

    Args:
        ct: The package coremltools.
        converted: What its converter returns.
        precision: `float16` or `float32`.

    Raises:
        ConversionError: coremltools cannot convert the weights.
    """
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
    if spec.WhichOneof("Type") != "neuralNetworkClassifier":
        return spec
    # The same names and the same order of outputs as in an ML Program.
    current = spec.description.predictedProbabilitiesName
    ct.utils.rename_feature(spec, current, PROBABILITIES_FEATURE)
    outputs = sorted(spec.description.output, key=lambda output: output.name != LABEL_FEATURE)
    copies = [copy.deepcopy(output) for output in outputs]
    del spec.description.output[:]
    spec.description.output.extend(copies)
    return spec
