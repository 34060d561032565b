"""The Core ML file predicts the same as the Recognizer or PyTorch module that it comes from."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketlens.conversion import ModelMetadata, convert
from pocketlens.conversion.quiet import import_coremltools, quiet
from pocketlens.coreml import load
from pocketlens.coreml.file.proto import generated
from pocketlens.errors import ConversionError, OptionError, OutputExistsError
from pocketlens.image import InputSpec
from pocketlens.recognizer import Recognizer

Noise = Callable[[InputSpec], NDArray[np.uint8]]
Make = Callable[..., Any]

SPECS = {
    "gray": InputSpec(12, 12, "gray", (1 / 127.5,), (-1.0,)),
    "rgb": InputSpec(12, 12, "rgb", (1 / 58,), (-2.1, -2.0, -1.8), "fit"),
    "bgr": InputSpec(12, 12, "bgr", (1.0 / 60,), (-1.7, -1.9, -2.1), "fill"),
    "rgb, scale per channel": InputSpec(12, 12, "rgb", (1 / 58, 1 / 57, 1 / 40), (-2.1, -2, -3)),
    "bgr, scale per channel": InputSpec(12, 12, "bgr", (1 / 40, 1 / 57, 1 / 90), (-3, -2, -1)),
}
FORMATS = ("mlpackage", "mlmodel")


def message(path: Path) -> Any:
    """The `Model` message of a Core ML file, read without the code under test."""
    file = path / "Data" / "com.apple.CoreML" / "model.mlmodel" if path.is_dir() else path
    return generated("Model_pb2").Model.FromString(file.read_bytes())


def content(path: Path) -> dict[str, bytes]:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


@pytest.mark.parametrize(
    ("color", "precision"),
    [*((color, "float16") for color in SPECS), ("gray", "float32"), (list(SPECS)[-1], "float32")],
)
@pytest.mark.parametrize("kind", FORMATS)
def test_the_file_predicts_the_same_as_the_network(
    color: str,
    precision: str,
    kind: str,
    tmp_path: Path,
    make_recognizer: Make,
    noise: Noise,
) -> None:
    spec = SPECS[color]
    source = make_recognizer(spec, temperature=1.4)
    path = convert(source, tmp_path / "Pets.v1", format=kind, precision=precision)
    assert path == tmp_path / f"Pets.v1.{kind}"

    model, images = load(path), noise(spec)
    want, got = source.probabilities(images), model.probabilities(images)
    assert len(set(want.argmax(1))) > 2  # otherwise agreement means little
    tolerance = 3e-3 if precision == "float16" else 1e-5
    np.testing.assert_allclose(got, want, atol=tolerance)
    assert model.classes == source.classes
    assert model.input_spec == spec

    numbers = sum(p.numel() for p in source.network.parameters())
    weights = path / "Data/com.apple.CoreML/weights/weight.bin" if path.is_dir() else path
    assert (weights.stat().st_size < 3.5 * numbers) == (precision == "float16")


def test_the_image_scaler_of_a_neural_network(tmp_path: Path, make_recognizer: Make) -> None:
    spec = SPECS["bgr"]
    model = message(convert(make_recognizer(spec), tmp_path / "bgr.mlmodel"))
    scaler = model.neuralNetworkClassifier.preprocessing[0].scaler
    assert scaler.channelScale == np.float32(spec.scale[0])
    biases = (scaler.blueBias, scaler.greenBias, scaler.redBias)
    np.testing.assert_allclose(biases, spec.bias, rtol=1e-6)


@pytest.mark.parametrize("kind", FORMATS)
def test_metadata_and_features(kind: str, tmp_path: Path, make_recognizer: Make) -> None:
    source = make_recognizer(SPECS["bgr"])
    metadata = ModelMetadata("Ada", "MIT", "1.2", "Recognizes pets.")
    spec = message(convert(source, tmp_path / "m", format=kind, metadata=metadata))
    assert spec.specificationVersion == {"mlpackage": 7, "mlmodel": 4}[kind]  # iOS 16, iOS 13

    description = spec.description
    assert [f.name for f in description.input] == ["image"]
    assert [f.name for f in description.output] == ["classLabel", "classLabel_probs"]
    assert description.predictedFeatureName == "classLabel"
    assert description.predictedProbabilitiesName == "classLabel_probs"
    image = description.input[0].type.imageType
    assert (image.width, image.height) == (12, 12)
    assert image.colorSpace == generated("FeatureTypes_pb2").ImageFeatureType.ColorSpace.Value(
        "BGR"
    )
    assert description.input[0].shortDescription == (
        "The image: 12 × 12 pixels, BGR, upright. An image of another shape is fitted with 'fill'."
    )
    assert description.output[0].shortDescription == "The most probable of the 5 classes."
    assert "by class name" in description.output[1].shortDescription

    meta = description.metadata
    assert (meta.author, meta.license, meta.versionString) == ("Ada", "MIT", "1.2")
    assert meta.shortDescription == "Recognizes pets."
    assert InputSpec.from_json(meta.userDefined["org.pocketlens.input"]) == SPECS["bgr"]
    assert meta.userDefined["org.pocketlens.thresholds"] == '{"show":0.7,"keep":0.5,"present":0.5}'
    assert meta.userDefined["org.pocketlens.version"]
    assert not any("date" in key for key in meta.userDefined)


def test_descriptions_without_metadata(tmp_path: Path, make_network: Make) -> None:
    labels = ("nothing", *"abcdefghijk")
    network = make_network(1, len(labels))
    path = convert(network, tmp_path / "m", labels=labels, input_spec=InputSpec(12, 12))
    description = message(path).description
    assert description.metadata.shortDescription == (
        "Distinguishes 12 classes: nothing, a, b, c, d, e, f, g, h, i, …."
    )
    assert description.output[0].shortDescription.endswith(
        "'nothing': none of the others is in view."
    )


def test_the_callers_network_does_not_change(tmp_path: Path, make_network: Make) -> None:
    network = make_network(1).train().double()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    convert(network, tmp_path / "m", labels=list("abcde"), input_spec=InputSpec(12, 12))
    assert network.training
    for name, value in network.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])


class Functional(nn.Module):
    """Pooling without an explicit stride, and ops that coremltools knows under other names."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 6, 3)
        self.last = nn.Linear(6 * 2 * 2, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(F.max_pool2d(self.conv(x), 2), 2)
        x = torch.ops.aten.alias(torch.multiply(x, 3.0))
        logits: Tensor = self.last(torch.subtract(x, 0.5).flatten(1))
        return logits


@pytest.mark.parametrize("kind", FORMATS)
def test_functional_style(kind: str, tmp_path: Path, noise: Noise) -> None:
    network, spec = Functional(), InputSpec(12, 12)
    path = convert(network, tmp_path / "m", format=kind, labels=list("abcde"), input_spec=spec)
    images = noise(spec)
    with torch.no_grad():
        want = network(torch.from_numpy(spec.network_input(images))).softmax(1).numpy()
    np.testing.assert_allclose(load(path).probabilities(images), want, atol=2e-3)


@pytest.mark.parametrize(
    ("end", "labels", "formula"),
    [
        ([], "abcde", lambda z: z.softmax(1)),
        ([nn.Softmax(1)], "abcde", lambda z: z),
        ([nn.Linear(5, 1)], "ny", lambda z: torch.cat([1 - z.sigmoid(), z.sigmoid()], 1)),
        ([nn.Linear(5, 1), nn.Sigmoid()], "ny", lambda z: torch.cat([1 - z, z], 1)),
    ],
    ids=["logits", "softmax", "logit", "sigmoid"],
)
def test_the_head_of_a_module_is_detected(
    end: list[nn.Module],
    labels: str,
    formula: Callable[[Tensor], Tensor],
    tmp_path: Path,
    make_network: Make,
    noise: Noise,
) -> None:
    spec = InputSpec(12, 12)
    network = nn.Sequential(make_network(1), *end).eval()
    path = convert(network, tmp_path / "m", labels=list(labels), input_spec=spec)
    images = noise(spec)
    with torch.no_grad():
        want = formula(network(torch.from_numpy(spec.network_input(images)))).numpy()
    np.testing.assert_allclose(load(path).probabilities(images), want, atol=3e-3)


# --- errors


def test_an_output_that_exists_is_rejected_before_any_work(tmp_path: Path) -> None:
    existing = tmp_path / "m.mlmodel"
    existing.write_bytes(b"old")
    with pytest.raises(OutputExistsError, match=r"m\.mlmodel exists; .* pass --force"):
        convert(object(), existing)  # the model is not examined
    assert existing.read_bytes() == b"old"


class Singular(nn.Module):
    """Singular values, an op that Core ML does not have."""

    def forward(self, x: Tensor) -> Tensor:
        values: Tensor = torch.linalg.svd(x)[1]
        return values.flatten(1)[:, :5]


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        flat = 9 * x.flatten(1)[:, :5]
        return flat if flat.sum() > 0 else -flat


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (
            Singular(),
            r"coremltools cannot convert the network at op '\w*svd\w*', line .*: NotImplemented",
        ),
        (Branching(), r"PyTorch cannot export the network: .*branches that depend on pixel"),
        (nn.Flatten(), r"returns 144 output\(s\), but there are 5 labels \(a, b, c, …\)"),
        (nn.Conv2d(3, 5, 3), r"cannot process images of shape \(1, 12, 12\) .*InputSpec that fits"),
        (nn.Conv2d(1, 5, 3), r"outputs of shape \(1, 5, 10, 10\) for one image"),
        (nn.LSTM(12, 5), r"cannot process images|returns a tuple; expected one tensor"),
    ],
    ids=["op", "branch", "labels", "channels", "map", "tuple"],
)
def test_unsuitable_networks_are_rejected(network: nn.Module, text: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=text) as caught:
        convert(
            network,
            tmp_path / "m",
            labels=list("abcde"),
            input_spec=InputSpec(12, 12),
        )
    assert "\n" not in str(caught.value)
    assert "NotImplemented" not in text or isinstance(caught.value.__cause__, NotImplementedError)
    assert not list(tmp_path.iterdir())


def test_a_recognizer_with_another_number_of_classes_is_rejected(
    tmp_path: Path, gray_recognizer: Recognizer
) -> None:
    gray_recognizer._classes = ("a", "b")
    with pytest.raises(ConversionError, match=r"returns 5 output\(s\), but there are 2 labels"):
        convert(gray_recognizer, tmp_path / "m")


def test_weights_beyond_the_range_of_float16(
    tmp_path: Path, make_network: Make, noise: Noise
) -> None:
    spec, network = InputSpec(12, 12), make_network(1)
    with torch.no_grad():
        network[5].weight[0, 0] = 70_000
    options: dict[str, Any] = {"labels": list("abcde"), "input_spec": spec}
    with pytest.raises(
        ConversionError, match=r"convert the weights to float16: .*; use precision float32"
    ):
        convert(network, tmp_path / "m.mlmodel", **options)
    assert not list(tmp_path.iterdir())

    # In an ML Program, such a layer stays in float32.
    path = convert(network, tmp_path / "m.mlpackage", **options)
    images = noise(spec)
    with torch.no_grad():
        want = network(torch.from_numpy(spec.network_input(images))).softmax(1).numpy()
    assert (load(path).probabilities(images).argmax(1) == want.argmax(1)).all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_an_invalid_temperature_is_rejected(
    temperature: float, tmp_path: Path, gray_recognizer: Recognizer
) -> None:
    gray_recognizer.temperature = temperature
    with pytest.raises(ConversionError, match="temperature of .* is .*; expected a number above 0"):
        convert(gray_recognizer, tmp_path / "m")


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("m", {"format": "mlpakage"}, "format 'mlpakage' is not known; did you mean 'mlpackage'"),
        ("m", {"precision": "float61"}, "precision 'float61' is not known; did you mean"),
        (
            "m.mlmodel",
            {"format": "mlpackage"},
            r"m\.mlmodel ends in \.mlmodel, but the format is mlpackage; rename it to m\.mlpackage",
        ),
        ("m", {"labels": ["a", "b"]}, "a Recognizer has its own labels and InputSpec"),
        ("m", {"input_spec": InputSpec(3, 3)}, "a Recognizer has its own labels and InputSpec"),
    ],
)
def test_invalid_options_are_rejected(
    name: str,
    options: dict[str, Any],
    text: str,
    tmp_path: Path,
    gray_recognizer: Recognizer,
) -> None:
    with pytest.raises(OptionError, match=text):
        convert(gray_recognizer, tmp_path / name, **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"input_spec": InputSpec(12, 12)}, "does not contain class names; pass labels"),
        ({"labels": list("abcde")}, "does not say how pixels become its input; pass input_spec"),
    ],
)
def test_a_module_needs_labels_and_an_input_spec(
    options: dict[str, Any], text: str, tmp_path: Path, make_network: Make
) -> None:
    with pytest.raises(OptionError, match=text):
        convert(make_network(1), tmp_path / "m", **options)


def test_other_objects_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"type builtins\.dict cannot be converted; expected"):
        convert({}, tmp_path / "m")


def test_metadata_that_is_not_a_string_is_rejected() -> None:
    with pytest.raises(OptionError, match=r"metadata\.version must be a string; received: 1\.0"):
        ModelMetadata(version=1.0)  # type: ignore[arg-type] # the error


# --- output of other packages


SCRIPT = """
import sys, torch
from pocketlens.conversion import convert
from pocketlens.image import InputSpec
torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(144, 3))
for name in ("m.mlpackage", "m.mlmodel"):
    convert(network, sys.argv[1] + "/" + name, labels=list("abc"), input_spec=InputSpec(12, 12))
"""


def test_nothing_is_printed_and_every_process_writes_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "other")]
    seeded = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=seeded)
    assert (done.stdout, done.stderr) == ("", "")

    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))
    for name in ("m.mlpackage", "m.mlmodel"):
        path = tmp_path / "own" / name
        convert(network, path, labels=list("abc"), input_spec=InputSpec(12, 12))
    assert content(tmp_path / "own") == content(tmp_path / "other")


def test_expected_records_are_silenced_within_the_block(
    caplog: pytest.LogCaptureFixture,
) -> None:
    import_coremltools()
    from coremltools.converters.mil.mil.passes import pass_pipeline

    logger, bar = logging.getLogger("coremltools"), pass_pipeline.tqdm
    filters = list(logger.filters)
    expected = "Failed to load _MLModelProxy: no such module"
    with quiet() as notes:
        assert pass_pipeline.tqdm is not bar
        logger.warning(expected)
        logger.warning("a layer was dropped")
        logger.error("\n\nERROR - converting 'svd' op (located at: ''):\n")
    assert notes.failed_op == "svd"
    assert caplog.messages == ["a layer was dropped"]
    assert pass_pipeline.tqdm is bar
    assert logger.filters == filters
    logger.warning(expected)
    assert caplog.messages[-1] == expected
