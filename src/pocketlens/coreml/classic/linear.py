"""Generalized linear models: link(weights · x + offset).

Source: GLMClassifier.proto and GLMRegressor.proto of the specification.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.classic.labels import Labels
from pocketlens.coreml.classic.links import log_logistic, logistic, probit, softmax
from pocketlens.coreml.classic.reading import matrix
from pocketlens.coreml.classic.step import Features, Step, predicted_output
from pocketlens.coreml.classic.vector import Vector
from pocketlens.coreml.file.features import Interface
from pocketlens.coreml.graph import Floats, Message
from pocketlens.coreml.ops.registry import classic
from pocketlens.errors import ModelFileError

Row = NDArray[np.float64]

LINKS: dict[str, Callable[[Row], Row]] = {
    "NoTransform": lambda x: x,
    "Logit": logistic,
    "Probit": probit,
}


@classic()
def glmRegressor(
    model: Interface,
    *,
    weights: tuple[Message, ...],
    offset: Floats,
    postEvaluationTransform: str = "NoTransform",
) -> Step:
    output = predicted_output(model, "double", "array", "int64")
    scores = _scores(model, weights, offset)
    if len(offset) > 1 and output.kind != "array":
        raise ModelFileError(
            f"it predicts {len(offset)} numbers; "
            f"its output '{output.name}' is declared as {output.kind}; expected an array"
        )
    link = LINKS[postEvaluationTransform]
    return Step(lambda inputs: {output.name: link(scores(inputs))}, (output.name,))


@classic()
def glmClassifier(
    model: Interface,
    *,
    weights: tuple[Message, ...],
    offset: Floats,
    postEvaluationTransform: str = "Logit",
    classEncoding: str = "ReferenceClass",
    stringClassLabels: Message | None = None,
    int64ClassLabels: Message | None = None,
) -> Step:
    labels = Labels(model, stringClassLabels, int64ClassLabels)
    scores = _scores(model, weights, offset)
    classes = len(labels.classes)
    # With two classes there is one score, whatever the encoding: the first class has the rest.
    rows = classes - 1 if classEncoding == "ReferenceClass" or classes == 2 else classes
    if len(offset) != rows:
        raise ModelFileError(
            f"it has {len(offset)} rows of weights for {classes} classes ({classEncoding}); "
            f"expected {rows}"
        )
    if postEvaluationTransform == "Probit" and classes != 2:
        raise ModelFileError(f"it has {classes} classes; Probit needs 2")
    if classes == 2:
        link = LINKS[postEvaluationTransform]

        def probabilities(z: Row) -> Row:
            return np.concatenate([link(-z), link(z)])

    elif classEncoding == "ReferenceClass":

        def probabilities(z: Row) -> Row:
            return softmax(np.concatenate([[0.0], z]))

    else:

        def probabilities(z: Row) -> Row:
            # Each class's probability divided by their sum; as logarithms, since all may be 0.
            return softmax(log_logistic(z))

    def run(inputs: Features) -> dict[str, object]:
        return labels.to_outputs(probabilities(scores(inputs)))

    return Step(run, labels.outputs, labels.classes)


def _scores(
    model: Interface, weights: tuple[Message, ...], offset: Floats
) -> Callable[[Features], Row]:
    """A function that computes weights [rows, width] · x [width] + offset [rows]."""
    rows, width = len(weights), len(weights[0].value)
    if rows != len(offset):
        raise ModelFileError(f"it has {rows} rows of weights and {len(offset)} offsets")
    if not width or any(len(row.value) != width for row in weights):
        raise ModelFileError("its rows of weights are empty or of different lengths")
    factors = matrix((row.value for row in weights), rows, width)
    constant = np.array(offset, np.float64)
    vector = Vector(model.inputs, width=width)
    return lambda inputs: factors @ vector.row(inputs) + constant
