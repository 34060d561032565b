"""`explain` on Core ML files and on other predictors, its picture, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pocketlens
from command_line import error_of, output_of
from pocketlens.errors import FeatureError, OptionError
from pocketlens.explanation import Explanation, explain
from pocketlens.explanation.heat import heat_picture, shown_picture
from pocketlens.image import InputSpec
from pocketlens.networks import backbones
from pocketlens.networks.backbone import Backbone
from pocketlens.recognizer import Recognizer, planes
from predictors import GivenPredictor

SIDE = 16
SPEC = InputSpec(SIDE, SIDE, "rgb", scale=(1 / 64,), bias=(-2.0,))


def square(y: int, x: int, color: tuple[int, int, int]) -> np.ndarray:
    """A gray image with a square of 4 × 4 pixels."""
    image = np.full((SIDE, SIDE, 3), 128, np.uint8)
    image[y : y + 4, x : x + 4] = color
    return image


@pytest.fixture(scope="module")
def colors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A neural network of another tool: it counts red, green and blue places.

    Each feature of its map (4 × 4) is the mean of one color in 4 × 4 pixels, above 0.5.
    """
    import coremltools as ct
    from coremltools.models import datatypes
    from coremltools.models.neural_network import NeuralNetworkBuilder

    builder = NeuralNetworkBuilder(
        [("image", datatypes.Array(3, SIDE, SIDE))],
        [("scores", datatypes.Array(3))],
        mode="classifier",
    )
    kernel = np.tile(np.eye(3) / 16, (4, 4, 1, 1)).astype(np.float32)
    bias = np.full(3, -0.5, np.float32)
    options = ("valid", kernel, bias, True, False, None, "image", "conv")
    builder.add_convolution("conv", 3, 3, 4, 4, 4, 4, *options[:1], 1, *options[1:])
    builder.add_activation("relu", "RELU", "conv", "map")
    builder.add_pooling("mean", 1, 1, 1, 1, "AVERAGE", "VALID", "map", "pooled", is_global=True)
    weights = 10 * np.eye(3, dtype=np.float32) - 2
    builder.add_inner_product(
        "head", weights, np.array([0, 0.1, 0.2]), 3, 3, True, "pooled", "logits"
    )
    builder.add_softmax("softmax", "logits", "scores")
    builder.set_pre_processing_parameters(["image"], image_scale=1 / 255)
    builder.set_class_labels(["red", "green", "blue"])
    path = tmp_path_factory.mktemp("colors") / "Colors.mlmodel"
    ct.models.utils.save_spec(builder.spec, str(path))
    return path


def test_a_file_of_another_tool(colors: Path) -> None:
    """Everything about it is known: a red square at (8, 4) is one of 16 places."""
    model = pocketlens.load(colors)
    image = square(8, 4, (255, 0, 0))
    found = explain(model, image)
    assert (found.label, found.method, found.share) == ("red", "activation", 1 / 16)
    gray = 128 / 255 - 0.5
    expected = np.full((4, 4), gray * (8 - 2 - 2), np.float32)
    expected[2, 1] = 0.5 * 8
    np.testing.assert_allclose(found.map, expected, atol=1e-5)
    assert found.rest == pytest.approx(0, abs=1e-6)  # the bias of red
    assert found.confidence == model.predict(image).confidence
    against = explain(model, image, label="blue")
    assert against.map[2, 1] == pytest.approx(0.5 * -2, abs=1e-5)
    assert against.rest == pytest.approx(0.2, abs=1e-6)
    # What is said about the input changes what the model sees.
    swapped = explain(model.with_input(color="bgr"), image)
    assert swapped.label == "blue"
    assert swapped.map.argmax() == 2 * 4 + 1


def test_scores_of_a_file_are_explained_exactly(colors: Path) -> None:
    """Softmax of (mean + rest) of each label gives the probabilities of the file."""
    model = pocketlens.load(colors)
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    parts = [explain(model, image, label=name) for name in model.classes]
    scores = np.exp([part.map.mean(dtype=np.float64) + (part.rest or 0) for part in parts])
    expected = [part.confidence for part in parts]
    np.testing.assert_allclose(scores / scores.sum(), expected, rtol=1e-5)


class Small(torch.nn.Module):
    """A backbone with a map of 5 × 3 places and eight concepts."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 12, (4, 5), stride=(3, 4), bias=False)
        self.concepts = torch.nn.Linear(12, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.conv(x).relu()
        return found


@pytest.mark.parametrize(("concepts", "precision"), [(False, "float32"), (True, "float16")])
def test_a_photo_model_agrees_with_autograd(
    precision: str, concepts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooled head is exact; with concepts, and for `nothing`, it is the first order."""
    torch.manual_seed(0)
    monkeypatch.setattr(backbones, "build", lambda *_, **__: Small())
    network = Backbone(SPEC, 4, concepts=concepts, prototypes=5, dimensions=3)
    assert network.rejection is not None
    for _, values in network.rejection.named_buffers():
        values.copy_(torch.randn(values.shape))
    trained = Recognizer(network, None, ("a", "b", "c", "nothing"), SPEC, temperature=1.25)
    path = pocketlens.convert(trained, tmp_path / "Small.mlpackage", precision=precision)
    model = pocketlens.load(path)
    image = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    x = planes(torch.from_numpy(image).permute(2, 0, 1)[None], SPEC)
    features = network.backbone(x).detach().requires_grad_()
    logits = network.logits(features.mean((2, 3)))[0] / 1.25
    scores = logits.detach().tolist()
    limit = {"float32": 1e-4, "float16": 2e-2}[precision]
    for index, label in enumerate(model.classes):
        (gradient,) = torch.autograd.grad(logits[index], features, retain_graph=True)
        expected = 15 * (features * gradient).sum(1)[0].detach().numpy()
        found = explain(model, image, label=label)
        affine = not concepts and label != "nothing"
        assert found.method == ("activation" if affine else "first-order")
        assert found.map.shape == expected.shape == (5, 3)
        np.testing.assert_allclose(found.map, expected, atol=limit * np.abs(expected).max())
        assert found.rest is not None
        total = found.map.mean(dtype=np.float64) + found.rest
        assert total == pytest.approx(scores[index], abs=limit * 10)


class Seen(GivenPredictor):
    """Says `dark` where the upper left quarter is dark, with 90 % at most."""

    def __init__(self, spec: InputSpec) -> None:
        super().__init__(("dark", "light"), spec)
        self.batches: list[int] = []

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        self.batches.append(len(images))
        height, width = self.input_spec.height // 2, self.input_spec.width // 2
        dark = 0.1 + 0.8 * (images[:, :height, :width] < 100).mean((1, 2, 3))
        return np.stack([dark, 1 - dark], 1).astype(np.float32)


@pytest.mark.parametrize("size", [(16, 16), (9, 30), (3, 50)])
def test_occlusion_finds_what_matters_to_any_model(size: tuple[int, int]) -> None:
    model = Seen(InputSpec(*size))
    image = np.full((*size, 1), 200, np.uint8)
    image[: size[0] // 2, : size[1] // 2] = 20
    found = explain(model, image)
    assert (found.label, found.method, found.rest) == ("dark", "occlusion", None)
    rows, columns = found.map.shape
    assert (rows, columns) == (min(8, size[0]), min(8, size[1]))
    inside = found.map[: rows // 2, : columns // 2]
    assert (inside > 0.1).all()
    assert inside.sum() > 0.6 * found.map.sum()
    assert found.map.min() == pytest.approx(0, abs=1e-6)
    assert sum(model.batches) <= 1 + 1 + 9 * 9
    assert max(model.batches) <= 32
    opposite = explain(model, image, label="light")
    np.testing.assert_allclose(opposite.map, -found.map, atol=1e-4)
    assert opposite.share == 0


def test_what_cannot_be_explained(colors: Path, tmp_path: Path) -> None:
    image = square(0, 0, (9, 9, 9))
    with pytest.raises(OptionError, match="the model has no label 'rad'; did you mean 'red'?"):
        explain(pocketlens.load(colors), image, label="rad")
    from coremltools.models import datatypes
    from coremltools.models.neural_network import NeuralNetworkBuilder
    from coremltools.models.utils import save_spec

    builder = NeuralNetworkBuilder(
        [("image", datatypes.Array(3, SIDE, SIDE))], [("y", datatypes.Array(3, SIDE, SIDE))]
    )
    builder.add_activation("relu", "RELU", "image", "y")
    builder.set_pre_processing_parameters(["image"])
    save_spec(builder.spec, str(tmp_path / "plain.mlmodel"))
    with pytest.raises(FeatureError, match="is not a classifier"):
        explain(pocketlens.load(tmp_path / "plain.mlmodel"), image)


def given(values: list[list[float]]) -> Explanation:
    return Explanation(np.array(values, np.float32), "cat", 0.9, "occlusion", 0.5, None)


def test_the_picture_is_orange_for_and_blue_against() -> None:
    picture = np.full((80, 80, 3), 100, np.uint8)
    heat = heat_picture(picture, given([[2, 0], [0, -2]])).astype(int)
    assert heat.shape == (80, 80, 3)
    red, _, blue = heat[5, 5]
    assert red > blue + 100
    red, _, blue = heat[75, 75]
    assert blue > red + 80
    lines = (heat == 255).all(2)
    assert lines.any(), "a white line surrounds the strongest part"
    assert (heat[~lines].sum(1) == 0).any(), "and a black one this line"
    assert not lines[44:, 44:].any()
    # Nothing speaks for the label, or nothing at all does: no line; a gray picture stays gray.
    assert not (heat_picture(picture, given([[-1, -1]])) == 255).all(2).any()
    assert (heat_picture(picture[..., :1], given([[0, 0]])) == 90).all()


def test_the_picture_shows_what_the_model_sees(tmp_path: Path) -> None:
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, 100:200] = (255, 0, 0)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    for path in (tmp_path / "wide.png", wide):
        shown = shown_picture(path, InputSpec(28, 28, "gray"))
        assert shown.shape == (448, 448, 3)
        assert (shown[:, 10:-10] == (255, 0, 0)).all(), "only the middle"
    assert shown_picture(wide, InputSpec(28, 28, crop="fill"))[0, 0].tolist() == [0, 0, 0]
    assert shown_picture(wide, InputSpec(2, 400)).shape == (5, 1024, 3)


def test_the_command(colors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(square(8, 4, (255, 0, 0))).save("photo.png")
    text = output_of("explain", colors, "photo.png")
    assert "photo.png: red " in text
    assert "method: class activation map\n" in text
    assert "half of what speaks for it is in 6 % of the image" in text
    assert "wrote photo-explained.png" in text
    with Image.open("photo-explained.png") as picture:
        assert picture.format == "PNG"
    assert "photo-explained.png already exists" in error_of("explain", colors, "photo.png")
    output_of("explain", colors, "photo.png", "-o", "why.svg", "--label", "blue", "--force")
    Path("photo-explained.png").unlink()
    found = json.loads(output_of("explain", colors, "photo.png", "--json", "--color", "bgr"))
    assert (found["label"], found["method"], found["picture"]) == ("blue", "activation", None)
    assert np.array(found["map"]).shape == (4, 4)
    assert not Path("photo-explained.png").exists()
    assert "the model has no label 'x'" in error_of(
        "explain", colors, "photo.png", "--label", "x", "--json"
    )
    assert "a figure must be a .png or .svg file" in error_of(
        "explain", colors, "photo.png", "-o", "why.gif"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photo.png", "why.svg"]
