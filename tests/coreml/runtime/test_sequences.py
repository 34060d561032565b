"""Networks with the older array mapping, run on [Seq, Batch, C] and [Seq, Batch, C, H, W]."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pocketlens.coreml import load
from pocketlens.coreml.file.proto import generated
from pocketlens.coreml.runtime import cache
from pocketlens.errors import FeatureError, ModelFileError

Layer = tuple[str, str, Mapping[str, Any], Sequence[str], Sequence[str]]


def random(*shape: int, seed: int = 4) -> np.ndarray:
    """Normally distributed numbers, the same for each seed and shape."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


@pytest.fixture
def network(files: Any, save: Callable[..., Path]) -> Callable[..., Any]:
    """Build a network of specification version 3 from layers: (kind, name, fields, inputs,
    outputs)."""

    def make(
        layers: Sequence[Layer],
        inputs: Mapping[str, Sequence[int]],
        outputs: Mapping[str, Sequence[int]],
        kind: str = "neuralNetwork",
        optional: Sequence[str] = (),
    ) -> Any:
        spec = generated("Model_pb2").Model(specificationVersion=3)
        for features, shapes in (
            (spec.description.input, inputs),
            (spec.description.output, outputs),
        ):
            for name, shape in shapes.items():
                files.set_array_feature(features.add(), name, "float32", shape)
        for feature in spec.description.input:
            feature.type.isOptional = feature.name in optional
        network = getattr(spec, kind)
        for layer, name, fields, sources, results in layers:
            each = network.layers.add(name=name, input=sources, output=results)
            getattr(each, layer).SetInParent()
            files.fill(getattr(each, layer), fields)
        return spec

    return make


W, U, B = random(3, 2), random(3, 3), random(3)  # 2 input channels, 3 output channels


def recurrent(every_step: bool) -> Layer:
    fields = {
        "inputVectorSize": 2,
        "outputVectorSize": 3,
        "activation": {"tanh": {}},
        "sequenceOutput": every_step,
        "hasBiasVector": True,
        "weightMatrix": W,
        "recursionMatrix": U,
        "biasVector": B,
    }
    return ("simpleRecurrent", "steps", fields, ["x", "h"], ["y", "h_new"])


def expected_steps(x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """The results of all steps, [Seq, Batch, 3], for x [Seq, Batch, 2] and h [Batch, 3]."""
    results = []
    for step in x:
        h = np.tanh(step @ W.T + h @ U.T + B)
        results.append(h)
    return np.stack(results)


@pytest.fixture
def stepping(network: Callable[..., Any], save: Callable[..., Path]) -> Any:
    spec = network(
        [recurrent(True)], {"x": [2], "h": [3]}, {"y": [3], "h_new": [3]}, optional=["h"]
    )
    return load(save(spec))


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("batch", [1, 4])
def test_sequence_is_computed_step_by_step(stepping: Any, steps: int, batch: int) -> None:
    x, h = random(steps, batch, 2), random(1, batch, 3)
    expected = expected_steps(x, h[0])
    results = stepping.run({"x": x, "h": h})
    shape = (steps, batch, 3, 1, 1) if steps * batch > 1 else (3,)
    assert results["y"].shape == shape
    np.testing.assert_allclose(results["y"].reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        results["h_new"].reshape(batch, 3), expected[-1], rtol=1e-5, atol=1e-6
    )
    five = stepping.run({"x": x.reshape(steps, batch, 2, 1, 1), "h": h})
    np.testing.assert_array_equal(five["y"], results["y"])
    fresh = stepping.run({"x": x})  # without an initial state
    np.testing.assert_allclose(
        fresh["y"].ravel(), expected_steps(x, 0 * h[0]).ravel(), rtol=1e-5, atol=1e-6
    )


def test_state_in_declared_shape_is_used_for_the_whole_batch(stepping: Any) -> None:
    x, h = random(5, 2, 2), random(3)
    result = stepping.run({"x": x, "h": h})["y"]
    expected = expected_steps(x, np.stack([h, h]))
    np.testing.assert_allclose(result[..., 0, 0], expected, rtol=1e-5, atol=1e-6)


def test_sequence_equals_its_single_steps(stepping: Any) -> None:
    x = random(4, 1, 2)
    whole = stepping.run({"x": x}, intermediate=True)
    state: dict[str, Any] = {}
    for step, result in zip(x, whole["y"], strict=True):
        one = stepping.run({"x": step[0]} | state)
        assert one["y"].shape == (3,)
        np.testing.assert_allclose(one["y"], result.ravel(), rtol=1e-5, atol=1e-6)
        state = {"h": one["h_new"]}


def test_most_recent_models_are_kept(stepping: Any) -> None:
    for batch in range(1, 2 * cache.MAX_MODELS):
        for steps in (3, 2):  # one model for both
            x = random(steps, batch, 2)
            expected = expected_steps(x, np.zeros((batch, 3)))
            result = stepping.run({"x": x})["y"][..., 0, 0]
            np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
    assert len(stepping._models) == cache.MAX_MODELS


def test_shapes_that_are_not_allowed(stepping: Any) -> None:
    for x in (random(4, 1, 3), random(4, 1, 2, 2, 1), random(0, 1, 2)):
        with pytest.raises(FeatureError) as caught:
            stepping.run({"x": x})
        assert str(caught.value) == (
            "the input 'x' has the shape 2, with or without Seq × Batch in front; "
            f"received: {' × '.join(map(str, x.shape))}"
        )
    for value, message in (
        (random(4, 2), "has the shape 2; rec"),
        ([[1], [1, 2]], "is not an arr"),
    ):
        with pytest.raises(FeatureError, match=f"the input 'x' {message}"):
            stepping.run({"x": value})
    with pytest.raises(FeatureError, match="the input 'h' has the shape 3; received: 2"):
        stepping.run({"x": random(4, 1, 2), "h": random(2)})
    with pytest.raises(FeatureError, match="needs the input 'x'"):
        stepping.run({})


def test_images_in_a_batch(network: Callable[..., Any], save: Callable[..., Path]) -> None:
    weights, bias = random(4, 3, 3, 3), random(4)
    fields = {
        "outputChannels": 4,
        "kernelChannels": 3,
        "kernelSize": [3, 3],
        "hasBias": True,
        "valid": {},
        "weights": weights,
        "bias": bias,
    }
    layers = [
        ("convolution", "conv", fields, ["x"], ["c"]),
        ("pooling", "pool", {"type": "MAX", "globalPooling": True}, ["c"], ["y"]),
    ]
    model = load(save(network(layers, {"x": [3, 6, 5]}, {"y": [4, 1, 1]})))
    x = random(2, 3, 3, 6, 5)
    c = torch.conv2d(
        torch.from_numpy(x.reshape(6, 3, 6, 5)), torch.from_numpy(weights), torch.from_numpy(bias)
    )
    result = model.run({"x": x})["y"]
    assert result.shape == (2, 3, 4, 1, 1)
    np.testing.assert_allclose(result.reshape(6, 4), c.amax((2, 3)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.run({"x": x[1, 2]})["y"], result[1, 2], rtol=1e-5, atol=1e-6)


TABLE, OUT, BIAS = random(10, 3), random(2, 12), random(2)
EMBEDDING = {"inputDim": 10, "outputChannels": 3, "weights": TABLE.T}


@pytest.fixture
def four_word_classifier(network: Callable[..., Any], save: Callable[..., Path]) -> Any:
    """A classifier that flattens all words to one row, so it only runs on exactly four words."""
    dense = {
        "inputChannels": 12,
        "outputChannels": 2,
        "hasBias": True,
        "weights": OUT,
        "bias": BIAS,
    }
    layers = [
        ("embedding", "words", EMBEDDING, ["x"], ["e"]),
        ("permute", "moved", {"axis": [3, 1, 2, 0]}, ["e"], ["p"]),
        ("flatten", "row", {"mode": "CHANNEL_FIRST"}, ["p"], ["f"]),
        ("innerProduct", "dense", dense, ["f"], ["d"]),
        ("softmax", "shares", {}, ["d"], ["y"]),
    ]
    spec = network(layers, {"x": [1]}, {}, "neuralNetworkClassifier")
    spec.neuralNetworkClassifier.stringClassLabels.vector.extend(["good", "bad"])
    for name, kind in (("label", "stringType"), ("shares", "dictionaryType")):
        getattr(spec.description.output.add(name=name).type, kind).SetInParent()
    spec.description.output[1].type.dictionaryType.stringKeyType.SetInParent()
    spec.description.predictedFeatureName = "label"
    spec.description.predictedProbabilitiesName = "shares"
    return load(save(spec))


def test_network_for_a_fixed_number_of_words(four_word_classifier: Any, tmp_path: Path) -> None:
    words = np.array([7, 0, 9, 3])
    results = four_word_classifier.run({"x": words.reshape(4, 1, 1)})
    scores = OUT @ TABLE[words].T.ravel() + BIAS
    shares = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(
        [results["shares"][n] for n in ("good", "bad")], shares, rtol=1e-5, atol=1e-6
    )
    assert results["label"] == ("good", "bad")[int(scores.argmax())]
    assert four_word_classifier.classes == ("good", "bad")
    run_or_export: tuple[Callable[[], Any], ...] = (
        lambda: four_word_classifier.run({"x": [7]}),
        lambda: four_word_classifier.to_onnx(tmp_path / "m.onnx"),
    )
    for action in run_or_export:
        with pytest.raises(FeatureError) as caught:
            action()
        assert "without Seq and Batch in front; expected arrays of Seq × Batch" in str(caught.value)
    with pytest.raises(ModelFileError, match="the layer 'dense'"):
        four_word_classifier.run({"x": words[:3].reshape(3, 1, 1)})


def test_damaged_network_is_rejected_on_loading(
    network: Callable[..., Any], save: Callable[..., Path]
) -> None:
    dense = {"inputChannels": 12, "outputChannels": 2, "weights": OUT}
    spec = network([("innerProduct", "dense", dense, ["x"], ["y"])], {"x": [3]}, {"y": [2]})
    with pytest.raises(ModelFileError, match="the layer 'dense'"):
        load(save(spec))
