"""Recurrent layers. x is [Seq, B, inputVectorSize, 1, 1], a state [1, B, outputVectorSize, 1, 1].

The inputs of activations are clipped to -50 … 50, as specified. With reversed input, the outputs
are in the order of the steps: the output for the last element comes first.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pocketlens.coreml.file.proto import generated
from pocketlens.coreml.graph import Graph, Message, Value
from pocketlens.coreml.ops.common import recurrent as common
from pocketlens.coreml.ops.common.cells import ACTIVATIONS, Activation, Cell
from pocketlens.coreml.ops.common.weights import weight_array
from pocketlens.coreml.ops.registry import layer
from pocketlens.errors import ModelFileError, UnsupportedParameter

LIMIT = 50.0
"""The limit for inputs of activations, and for an LSTM's cell state if the file sets none."""

KINDS = {
    "ReLU": "relu",
    "linear": "linear",
    "scaledTanh": "scaled_tanh",
    "sigmoid": "sigmoid",
    "sigmoidHard": "hard_sigmoid",
    "tanh": "tanh",
}


def _activation(message: Message) -> Activation:
    kind = message.WhichOneof("NonlinearityType")
    if kind not in KINDS:
        raise UnsupportedParameter(f"an activation is {kind}; expected one of {', '.join(KINDS)}")
    default = ACTIVATIONS[KINDS[kind]]
    given = getattr(message, kind)
    if default.alpha is None or not (given.alpha or given.beta):
        # Converters omit defaults. For a scaled tanh the specification mentions only 1.7159 and
        # 2/3, but coremltools' own tests expect 1 and 1.
        return default
    return Activation(default.operator, given.alpha, given.beta)


def _activations(messages: Iterable[Message], count: int) -> list[Activation]:
    given = [_activation(message) for message in messages]
    if len(given) != count:
        raise ModelFileError(f"it has {len(given)} activations; expected {count}")
    return given


def _cell(
    weights: Iterable[Message],
    recursions: Iterable[Message],
    biases: Iterable[Message] | None,
    inputs: int,
    outputs: int,
    peepholes: Iterable[Message] | None = None,
) -> Cell:
    """The weights of one direction, from one matrix or vector per gate, in ONNX's order."""

    def joined(messages: Iterable[Message], *shape: int) -> np.ndarray:
        return np.concatenate([weight_array(each, shape) for each in messages])

    return Cell(
        joined(weights, outputs, inputs),
        joined(recursions, outputs, outputs),
        None if biases is None else joined(biases, outputs),
        None if peepholes is None else joined(peepholes, outputs),
    )


def _sequence(g: Graph, x: Value) -> Value:
    if x.rank != 5:
        raise ModelFileError(f"{x!r} has {x.rank} dimensions; expected 5")
    return g.Squeeze(x, np.array([3, 4], np.int64))


def _state(g: Graph, state: Value | None, size: int) -> Value | None:
    return None if state is None else g.reshape(state, [-1, size])


def _outputs(g: Graph, output: Value, *states: Value) -> tuple[Value, ...]:
    return (
        g.Unsqueeze(output, np.array([3, 4], np.int64)),
        *(g.Unsqueeze(state, np.array([0, 3, 4], np.int64)) for state in states),
    )


@layer()
def simpleRecurrent(
    g: Graph,
    x: Value,
    h: Value | None = None,
    *,
    inputVectorSize: int,
    outputVectorSize: int,
    activation: Message,
    sequenceOutput: bool = False,
    hasBiasVector: bool = False,
    weightMatrix: Message,
    recursionMatrix: Message,
    biasVector: Message | None = None,
    reverseInput: bool = False,
) -> tuple[Value, ...]:
    biases = [biasVector] if hasBiasVector else None
    result = common.rnn(
        g,
        _sequence(g, x),
        _cell([weightMatrix], [recursionMatrix], biases, inputVectorSize, outputVectorSize),
        _activation(activation),
        _state(g, h, outputVectorSize),
        backwards=reverseInput,
        sequence=sequenceOutput,
        limit=LIMIT,
    )
    return _outputs(g, result.output, *result.hidden)


@layer()
def gru(
    g: Graph,
    x: Value,
    h: Value | None = None,
    *,
    inputVectorSize: int,
    outputVectorSize: int,
    activations: Message,
    sequenceOutput: bool = False,
    hasBiasVectors: bool = False,
    updateGateWeightMatrix: Message,
    resetGateWeightMatrix: Message,
    outputGateWeightMatrix: Message,
    updateGateRecursionMatrix: Message,
    resetGateRecursionMatrix: Message,
    outputGateRecursionMatrix: Message,
    updateGateBiasVector: Message | None = None,
    resetGateBiasVector: Message | None = None,
    outputGateBiasVector: Message | None = None,
    reverseInput: bool = False,
) -> tuple[Value, ...]:
    biases = [updateGateBiasVector, resetGateBiasVector, outputGateBiasVector]
    cell = _cell(
        [updateGateWeightMatrix, resetGateWeightMatrix, outputGateWeightMatrix],
        [updateGateRecursionMatrix, resetGateRecursionMatrix, outputGateRecursionMatrix],
        biases if hasBiasVectors else None,
        inputVectorSize,
        outputVectorSize,
    )
    result = common.gru(
        g,
        _sequence(g, x),
        cell,
        _activations(activations, 2),
        _state(g, h, outputVectorSize),
        backwards=reverseInput,
        sequence=sequenceOutput,
        limit=LIMIT,
    )
    return _outputs(g, result.output, *result.hidden)


def _or_defaults(params: Message | None) -> Message:
    return generated("NeuralNetwork_pb2").LSTMParams() if params is None else params


def _lstm_cell(weights: Message, params: Message, inputs: int, outputs: int) -> Cell:
    w = weights
    matrices = [
        w.inputGateWeightMatrix,
        w.outputGateWeightMatrix,
        w.forgetGateWeightMatrix,
        w.blockInputWeightMatrix,
    ]
    recursions = [
        w.inputGateRecursionMatrix,
        w.outputGateRecursionMatrix,
        w.forgetGateRecursionMatrix,
        w.blockInputRecursionMatrix,
    ]
    biases = [
        w.inputGateBiasVector,
        w.outputGateBiasVector,
        w.forgetGateBiasVector,
        w.blockInputBiasVector,
    ]
    peepholes = [w.inputGatePeepholeVector, w.outputGatePeepholeVector, w.forgetGatePeepholeVector]
    cell = _cell(
        matrices,
        recursions,
        biases if params.hasBiasVectors else None,
        inputs,
        outputs,
        peepholes if params.hasPeepholeVectors else None,
    )
    if not params.forgetBias:
        return cell
    ones = np.repeat(np.array([0, 0, 1, 0], np.float32), outputs)
    bias = ones if cell.bias is None else cell.bias + ones
    return Cell(cell.weight, cell.recursion, bias, cell.peephole)


@layer()
def uniDirectionalLSTM(
    g: Graph,
    x: Value,
    h: Value | None = None,
    c: Value | None = None,
    *,
    inputVectorSize: int,
    outputVectorSize: int,
    activations: Message,
    params: Message | None = None,
    weightParams: Message,
    reverseInput: bool = False,
) -> tuple[Value, ...]:
    size, params = outputVectorSize, _or_defaults(params)
    result = common.lstm(
        g,
        _sequence(g, x),
        [_lstm_cell(weightParams, params, inputVectorSize, size)],
        _activations(activations, 3),
        [_state(g, h, size)],
        [_state(g, c, size)],
        backwards=reverseInput,
        sequence=params.sequenceOutput,
        cell_limit=params.cellClipThreshold or LIMIT,
        limit=LIMIT,
        coupled=params.coupledInputAndForgetGate,
    )
    return _outputs(g, result.output, *result.hidden, *result.cell)


@layer(restrictions="the same activations in both directions, as specified")
def biDirectionalLSTM(
    g: Graph,
    x: Value,
    h: Value | None = None,
    c: Value | None = None,
    h_reverse: Value | None = None,
    c_reverse: Value | None = None,
    *,
    inputVectorSize: int,
    outputVectorSize: int,
    activationsForwardLSTM: Message,
    activationsBackwardLSTM: Message,
    params: Message | None = None,
    weightParams: Message,
) -> tuple[Value, ...]:
    size, params = outputVectorSize, _or_defaults(params)
    activations = _activations(activationsForwardLSTM, 3)
    if _activations(activationsBackwardLSTM, 3) != activations:
        raise UnsupportedParameter(
            "activationsBackwardLSTM differs from activationsForwardLSTM; expected the same"
        )
    if len(weightParams) != 2:
        raise ModelFileError(f"it has the weights of {len(weightParams)} directions; expected 2")
    result = common.lstm(
        g,
        _sequence(g, x),
        [_lstm_cell(each, params, inputVectorSize, size) for each in weightParams],
        activations,
        [_state(g, each, size) for each in (h, h_reverse)],
        [_state(g, each, size) for each in (c, c_reverse)],
        backwards=False,
        sequence=params.sequenceOutput,
        cell_limit=params.cellClipThreshold or LIMIT,
        limit=LIMIT,
        coupled=params.coupledInputAndForgetGate,
    )
    (h_last, h_back), (c_last, c_back) = result.hidden, result.cell
    return _outputs(g, result.output, h_last, c_last, h_back, c_back)
