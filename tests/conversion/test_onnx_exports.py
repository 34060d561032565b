"""Networks that other tools export to ONNX, converted and compared with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from command_line import output_of
from onnx_networks import FLOAT, classifier, network, node, written
from pocketlens.conversion import convert, open_source
from pocketlens.conversion.source_kinds import ImageSource, SourceOptions
from pocketlens.conversion.verifying import verify_arrays
from pocketlens.coreml import load
from pocketlens.errors import ConversionError
from pocketlens.image import InputSpec
from pocketlens.recognizer import Recognizer
from sampling import sampled
from torch_networks import NETWORKS, made

LABELS = ("a", "b", "c")


@pytest.mark.filterwarnings("ignore")  # of the exporter, which is deprecated
@pytest.mark.parametrize(
    ("name", "opset"), sampled([(name, opset) for name in NETWORKS for opset in (14, 17, 20)], 1)
)
def test_an_exported_network_computes_the_same(name: str, opset: int, tmp_path: Path) -> None:
    network, example = made(name)
    names = [f"in{number}" for number in range(len(example))]
    path = tmp_path / "network.onnx"
    torch.onnx.export(
        network, example, str(path), input_names=names, opset_version=opset, dynamo=False,
        dynamic_axes={each: {0: "batch"} for each in names},
    )  # fmt: skip
    file = convert(path, tmp_path / "Network.mlpackage", precision="float32")
    found = verify_arrays(path, file, tolerance=1e-5)
    assert found.passed, found


def test_what_pocketlens_exports_converts_back(gray_recognizer: Recognizer, tmp_path: Path) -> None:
    first, path = tmp_path / "First.mlpackage", tmp_path / "m.onnx"
    convert(gray_recognizer, first, precision="float32")
    output_of("onnx", first, "-o", path)
    text = output_of("convert", path, "-o", tmp_path / "Back", "--precision", "float32")
    assert "assumed" not in text
    model, back = load(first), load(tmp_path / "Back.mlpackage")
    assert back.classes == model.classes
    assert back.input_spec == model.input_spec.with_values(scale=1.0, bias=0.0)
    images = np.random.default_rng(0).integers(0, 256, (3, *model.input_spec.shape), np.uint8)
    np.testing.assert_allclose(back.probabilities(images), model.probabilities(images), atol=1e-5)
    arrays = convert(path, tmp_path / "Arrays", inputs="array")
    assert [each.name for each in load(arrays).interface.outputs] == ["classLabel_probs"]


def scaled(*nodes: Any, weights: dict[str, Any], channels_last: bool = False) -> Any:
    """The classifier after other nodes, from `pixels` to `x`."""
    model = classifier(channels_last=channels_last)
    first = network(nodes, [("pixels", FLOAT, ["N", 3, 12, 12])], [("x", FLOAT, None)], weights)
    after = list(model.graph.node)
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend([*first.graph.node, *after])
    model.graph.input.extend(first.graph.input)
    model.graph.initializer.extend(first.graph.initializer)
    return model


NUMBERS = np.array([100, 110, 120], np.float32).reshape(1, 3, 1, 1)
OWN = {
    "division": scaled(node("Div", "pixels k", "x", name="d"), weights={"k": np.float32(255)}),
    "mean": scaled(
        node("Sub", "pixels k", "m", name="d"), node("Div", "m s", "x"),
        weights={"k": NUMBERS, "s": np.float32(58)},
    ),
    "BatchNormalization": scaled(
        node("BatchNormalization", "pixels gain shift mean variance", "x", name="d"),
        weights={"gain": np.ones(3, np.float32), "shift": np.zeros(3, np.float32),
                 "mean": NUMBERS.reshape(3), "variance": np.full(3, 3000, np.float32)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_a_network_that_scales_pixels_itself(name: str, tmp_path: Path) -> None:
    path = written(OWN[name], tmp_path)
    found = open_source(path, SourceOptions(labels=LABELS, assume=True))
    assert isinstance(found, ImageSource)
    assert found.input_spec.scale == (1.0, 1.0, 1.0)
    assert "scale" not in found.input_spec.assumed
    assert "the network scales pixels itself, at the node 'd' (op" in found.notes[0]
    assert not found.warnings
    twice = open_source(path, SourceOptions(labels=LABELS, assume=True, values={"scale": 1 / 255}))
    assert "they are scaled twice; use scale 1 and bias 0 (--scale 1)" in twice.warnings[0]
    plain = open_source(written(classifier(), tmp_path), SourceOptions(labels=LABELS, assume=True))
    assert isinstance(plain, ImageSource)
    assert "scale" in plain.input_spec.assumed


def test_what_was_assumed_is_printed(tmp_path: Path) -> None:
    path = written(classifier(), tmp_path)
    text = output_of("convert", path, "-o", tmp_path / "M", "--no-check")
    assert "the batch of the input 'x' is 1" in text
    assert "output: y" in text


def test_only_texts_as_outputs_are_refused(tmp_path: Path) -> None:
    names = onnx.helper.make_tensor("names", onnx.TensorProto.STRING, [3], [b"a", b"b", b"c"])
    model = classifier()
    best = node("ArgMax", "y", "best", axis=1, keepdims=0)
    model.graph.node.extend([best, node("Gather", "names best", "label")])
    model.graph.initializer.append(names)
    text = onnx.helper.make_tensor_value_info("label", onnx.TensorProto.STRING, ["N"])
    model.graph.output.append(text)
    found = open_source(
        written(model, tmp_path), SourceOptions(input_spec=InputSpec(12, 12, "rgb"))
    )
    assert isinstance(found, ImageSource)
    assert found.classes == LABELS
    del model.graph.output[0]
    with pytest.raises(ConversionError, match="the output 'label' is a text; expected the scores"):
        open_source(written(model, tmp_path))


def test_arrays_keep_the_names_that_images_have(tmp_path: Path) -> None:
    ports: Any = [("image", FLOAT, ["N", 4])], [("probabilities", FLOAT, ["N", 4])]
    path = written(network([node("Relu", "image", "probabilities")], *ports), tmp_path)
    file = convert(path, tmp_path / "M")
    assert [each.name for each in load(file).interface.inputs] == ["image"]
    assert [each.name for each in load(file).interface.outputs] == ["probabilities"]
    assert verify_arrays(path, file).passed
