"""Core ML files of others: named classes, and files that are written again with another reading.

The expected probabilities are those of the PyTorch network, computed from the pixels.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from command_line import error_of, output_of, run_command
from pocketlens.conversion import convert
from pocketlens.coreml import inspect, load
from pocketlens.coreml.file.proto import generated
from pocketlens.errors import CheckFailedError, ConversionError, OptionError

SCALE, BIAS = 1 / 127.5, np.array([-1, -0.5, -1])  # of the files; their images are BGR
LABELS = ["ant", "bee", "cat"]
IMAGES = np.random.default_rng(1).integers(0, 256, (5, 12, 12, 3), np.uint8)
Make = Callable[..., Path]


class Network(torch.nn.Module):
    def __init__(self, classes: int, ending: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 8, 3, stride=2)
        self.head = torch.nn.Linear(8 * 5 * 5, classes)
        self.ending = ending

    def forward(self, x: torch.Tensor) -> Any:
        scores: torch.Tensor = self.head(torch.relu(self.conv(x)).flatten(1))
        if self.ending == "softmax":
            return torch.softmax(scores, 1)
        if self.ending == "both":
            return scores, torch.softmax(scores, 1)
        return torch.sigmoid(scores) if self.ending == "sigmoid" else scores


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Converts a network with coremltools alone; each file is made once."""
    import coremltools as ct

    folder, made = tmp_path_factory.mktemp("foreign"), dict[Any, Path]()

    def file(format_: str, ending: str = "", *, labels: Any = None, classes: int = 3) -> Path:
        key = (format_, ending, tuple(labels or ()), classes)
        if key not in made:
            network = Network(classes, ending).eval()
            kind = "mlprogram" if format_ == "mlpackage" else "neuralnetwork"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = ct.convert(
                    torch.jit.trace(network, torch.zeros(1, 3, 12, 12)),  # type: ignore[no-untyped-call]
                    inputs=[
                        ct.ImageType(
                            "image", (1, 3, 12, 12), scale=SCALE, bias=BIAS, color_layout="BGR"
                        )
                    ],
                    convert_to=kind,
                    classifier_config=ct.ClassifierConfig(labels) if labels else None,
                )
            made[key] = folder / f"{len(made)}.{format_}"
            model.save(str(made[key]))
        return made[key]

    return file


def expected(
    scale: Any = SCALE, bias: Any = BIAS, color: str = "bgr", classes: int = 3
) -> NDArray[np.float32]:
    """The network's probabilities, from pixels in RGB."""
    pixels = IMAGES[..., ::-1] if color == "bgr" else IMAGES
    planes = (pixels * np.asarray(scale) + np.asarray(bias)).transpose(0, 3, 1, 2)
    with torch.no_grad():
        scores = Network(classes, "").eval()(torch.tensor(planes, dtype=torch.float32))
        if classes == 1:
            second = torch.sigmoid(scores)
            return np.asarray(torch.cat([1 - second, second], 1))
        return np.asarray(torch.softmax(scores, 1))


@pytest.mark.parametrize("format_", ["mlpackage", "mlmodel"])
@pytest.mark.parametrize(
    ("ending", "head"),
    [("", "logits"), ("softmax", "probabilities"), ("both", "probabilities")],
)
def test_classes_for_an_array_of_scores(make: Make, format_: str, ending: str, head: str) -> None:
    model = load(make(format_, ending)).with_input(labels=LABELS)
    assert model.classes == tuple(LABELS)
    assert model.head == head
    assert model.score_output in model.run({"image": IMAGES[0]})
    np.testing.assert_allclose(model.probabilities(IMAGES), expected(), atol=2e-3)
    answer = model.predict(IMAGES[0])
    assert answer.label == LABELS[int(expected()[0].argmax())]
    # Another reading on top, with other names in the same order.
    other = model.with_input(color="rgb").with_input(labels=LABELS[::-1])
    np.testing.assert_allclose(other.probabilities(IMAGES), expected(color="rgb"), atol=2e-3)
    assert other.classes == tuple(LABELS[::-1])


@pytest.mark.parametrize("ending", ["", "sigmoid"])
def test_two_classes_and_a_single_score(make: Make, ending: str) -> None:
    model = load(make("mlpackage", ending, classes=1)).with_input(labels=["no", "yes"])
    np.testing.assert_allclose(model.probabilities(IMAGES), expected(classes=1), atol=2e-3)
    with pytest.raises(ConversionError, match="a single output for two classes"):
        convert(model, "x.mlpackage")


def test_scores_that_are_not_clear(make: Make, tmp_path: Path) -> None:
    model = load(make("mlpackage", "sigmoid"))
    with pytest.raises(OptionError, match="ends with a sigmoid for each of 3 classes.*--head"):
        model.with_input(labels=LABELS)
    assert model.with_input(labels=LABELS, head="logits").head == "logits"
    for labels, message in (
        (["a", "b"], r"there are 2 labels; expected one output with 2 numbers.*array 1 × 3"),
        (["a"], "at least two classes"),
        (["a", "a", "b"], "labels must be 3 different names"),
    ):
        with pytest.raises(OptionError, match=message):
            model.with_input(labels=labels)
    with pytest.raises(OptionError, match="head is for a model without class names"):
        load(make("mlpackage", labels=LABELS)).with_input(labels=LABELS, head="logits")
    with pytest.raises(OptionError, match="head is for a model without class names"):
        model.with_input(head="logits")
    picture = tmp_path / "a.png"
    Image.fromarray(IMAGES[0]).save(picture)
    said = error_of("predict", make("mlpackage"), picture)
    assert "is not a classifier: it has no classes" in said
    assert "--labels a,b,c" in said
    status, out, err = run_command(
        "predict", make("mlpackage"), picture, "--labels", "ant,bee,cat", "--json"
    )
    assert status == 0
    assert json.loads(out)[0]["label"] == LABELS[int(expected()[0].argmax())]
    assert "are read as logits (--head)" in err


READINGS: list[dict[str, Any]] = [
    {"color": "rgb"},
    {"scale": 1 / 255, "bias": 0.0},
    {"scale": (1 / 50, 1 / 60, 1 / 70), "bias": (1.0, 2.0, 3.0), "color": "rgb"},
]


@pytest.mark.parametrize("labels", [None, LABELS, [7, 8, 9]], ids=["scores", "names", "numbers"])
@pytest.mark.parametrize("format_", ["mlpackage", "mlmodel"])
def test_a_reading_is_written_into_the_file(
    make: Make, format_: str, labels: Any, tmp_path: Path
) -> None:
    source = make(format_, "" if labels is None else "softmax", labels=labels)
    before = inspect(source)["bytes"]
    for number, values in enumerate(READINGS):
        told = load(source).with_input(labels=["x", "y", "z"], crop="fit", **values)
        made = load(convert(told, tmp_path / f"{number}.{format_}"))
        wanted = expected(**values)
        np.testing.assert_allclose(made.probabilities(IMAGES), wanted, atol=2e-3)
        for image, row in zip(IMAGES, wanted, strict=True):
            label = ("x", "y", "z")[int(row.argmax())]
            assert made.run({"image": image})[made.interface.label] == label
        assert made.input_spec == told.input_spec
        assert made.input_spec.crop == "fit"
        # The file itself says it, without Pocketlens' metadata.
        found = inspect(made.path)
        image_input = next(each for each in found["inputs"] if each["name"] == "image")
        assert image_input["color"] == values.get("color", "bgr")
        assert found["classes"] == ["x", "y", "z"]
        assert found["parameters"] - inspect(source)["parameters"] in range(7)
    assert inspect(source)["bytes"] == before


def test_only_ink_and_crop(make: Make, tmp_path: Path) -> None:
    told = load(make("mlmodel", "softmax", labels=LABELS)).with_input(ink="light", crop="fill")
    made = load(convert(told, tmp_path / "new"))
    assert made.path == tmp_path / "new.mlpackage"
    assert (made.input_spec.ink, made.input_spec.crop) == ("light", "fill")
    assert made.input_spec.assumed == ()
    assert np.array_equal(made.probabilities(IMAGES), told.probabilities(IMAGES))


def test_what_cannot_be_written(make: Make, tmp_path: Path) -> None:
    target = tmp_path / "new.mlmodel"
    with pytest.raises(OptionError, match=r"an ML Program, which only an \.mlpackage can hold"):
        convert(load(make("mlpackage")).with_input(labels=LABELS), target)
    model = load(make("mlmodel", "softmax", labels=LABELS))
    with pytest.raises(OptionError, match="nothing to change; pass at least one of --color"):
        convert(model.with_input(labels=LABELS, color="bgr"), target)
    with pytest.raises(OptionError, match="leave out precision, metadata and check"):
        convert(model.with_input(color="rgb"), target, precision="float32")
    with pytest.raises(OptionError, match="has its own labels"):
        convert(model, target, labels=LABELS)

    with pytest.raises(OptionError, match="a scale of 0 makes all images alike"):
        convert(model.with_input(scale=0), target)
    with pytest.raises(OptionError, match="so its color is rgb or bgr; received: gray"):
        model.with_input(color="gray")

    broken = model.with_input(color="rgb")
    broken.probabilities = lambda images: np.eye(3, dtype=np.float32)[:1].repeat(len(images), 0)  # type: ignore[method-assign]
    with pytest.raises(CheckFailedError, match=r"was not written.*would differ.*by up to"):
        convert(broken, target)
    assert list(tmp_path.iterdir()) == []


def test_of_a_pipeline_only_ink_and_crop(make: Make, tmp_path: Path) -> None:
    model_pb2 = generated("Model_pb2")
    inner = model_pb2.Model.FromString(make("mlmodel", "softmax", labels=LABELS).read_bytes())
    spec = model_pb2.Model(specificationVersion=5)
    spec.description.CopyFrom(inner.description)
    spec.pipelineClassifier.pipeline.models.add().CopyFrom(inner)
    path = tmp_path / "pipeline.mlmodel"
    path.write_bytes(spec.SerializeToString())
    made = load(convert(load(path).with_input(ink="light"), tmp_path / "light.mlmodel"))
    assert made.input_spec.ink == "light"
    assert np.array_equal(made.probabilities(IMAGES), load(path).probabilities(IMAGES))
    with pytest.raises(
        ConversionError, match="not in a file of this kind; convert the model again"
    ):
        convert(load(path).with_input(color="rgb"), tmp_path / "rgb.mlmodel")
    assert {each.name for each in tmp_path.iterdir()} == {"pipeline.mlmodel", "light.mlmodel"}


def test_convert_mends_a_file(make: Make, tmp_path: Path) -> None:
    source = make("mlpackage")
    said = error_of("convert", source, "--labels", "a,b,c")
    assert "the changed Core ML file needs a name: add --out FILE" in said
    out = tmp_path / "new.mlpackage"
    said = error_of("convert", source, "--labels", "a,b,c", "--out", out, "--author", "me")
    assert "--author cannot be used here" in said
    said = output_of("convert", source, "--labels", "a,b,c", "--color", "rgb", "--out", out)
    assert f"check it: pocketlens verify {out} --data SOURCE" in said
    np.testing.assert_allclose(load(out).probabilities(IMAGES), expected(color="rgb"), atol=2e-3)
    assert output_of("app", out, "--out", tmp_path / "app", "--name", "Three")
    said = error_of("app", source, "--out", tmp_path / "other", "--name", "Three")
    assert "--labels LABELS --out" in said
