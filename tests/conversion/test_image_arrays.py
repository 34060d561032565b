"""An image in and arrays out; and classifiers of arrays: from every kind of network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from command_line import error_of, output_of
from onnx_networks import classifier, written
from pocketlens.conversion import convert, from_keras, verify_arrays
from pocketlens.coreml import load
from pocketlens.errors import ConversionError, OptionError
from pocketlens.image import InputSpec

SPEC = InputSpec(12, 10, "bgr", scale=(1 / 50, 1 / 60, 1 / 70), bias=(-1.0, 0.5, 0.0))


class Depth(nn.Module):
    """The depth of each pixel, and an embedding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.depth = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 1, 1)
        self.embedding = nn.Linear(8, 4)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = torch.relu(self.body(image))
        return {"depth": self.depth(x), "embedding": self.embedding(x.mean((2, 3)))}


def pixels(count: int, *shape: int) -> Any:
    return np.random.default_rng(count).integers(0, 256, (count, *(shape or SPEC.shape)), np.uint8)


def outputs(images: Any) -> dict[str, Any]:
    """What the network says, with a preprocessing of its own."""
    blue_first = images[..., ::-1].astype(np.float32)
    scaled = blue_first * np.array(SPEC.scale, np.float32) + np.array(SPEC.bias, np.float32)
    with torch.no_grad():
        found = Depth()(torch.from_numpy(scaled.transpose(0, 3, 1, 2).copy()))
    return {name: value.numpy() for name, value in found.items()}


def module(_: Path) -> Any:
    return Depth()


def program(folder: Path) -> Any:
    network = torch.export.export(Depth().eval(), (torch.zeros(1, 3, 12, 10),))
    torch.export.save(network, folder / "depth.pt2")
    return folder / "depth.pt2"


def onnx(folder: Path) -> Any:
    path = folder / "depth.onnx"
    torch.onnx.export(
        Depth().eval(), (torch.zeros(1, 3, 12, 10),), str(path), input_names=["image"],
        output_names=["depth", "embedding"], dynamo=False,
    )  # fmt: skip
    return path


@pytest.mark.filterwarnings("ignore")  # of the exporter to ONNX, which is deprecated
@pytest.mark.parametrize("make", [module, program, onnx])
def test_an_image_in_and_arrays_out(make: Callable[[Path], Any], tmp_path: Path) -> None:
    source = make(tmp_path)
    path = convert(source, tmp_path / "m", input_spec=SPEC, inputs="image", precision="float32")
    model = load(path)
    assert (model.interface.image is not None, model.classes, model.input_spec) == (True, (), SPEC)
    for image in pixels(2):
        found, want = model.run({"image": image}), outputs(image[None])
        for name, value in want.items():
            np.testing.assert_allclose(found[name], value, atol=1e-4)
    parity = verify_arrays(source, path, {"image": pixels(3)})
    assert (parity.passed, parity.cases) == (True, 3)
    wrong = convert(Wrong(), tmp_path / "w", input_spec=SPEC, inputs="image", precision="float32")
    assert verify_arrays(source, wrong).differing == ("depth",)


class Wrong(Depth):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        found = super().forward(image)
        return {**found, "depth": 1.1 * found["depth"]}


def test_a_keras_model_from_an_image_to_arrays(tmp_path: Path) -> None:
    keras = from_keras._import_keras()
    image = keras.Input((12, 10, 3))
    keras.utils.set_random_seed(0)
    x = keras.layers.Conv2D(4, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    means = keras.layers.GlobalAveragePooling2D(name="means")(x)
    model = keras.Model(image, [keras.layers.Conv2D(1, 1, name="map")(x), means])
    model.save(tmp_path / "m.keras")
    source, out = tmp_path / "m.keras", tmp_path / "m.mlpackage"
    options = ("--inputs", "image", "--color", "rgb", "--precision", "float32")
    text = output_of("convert", source, *options, "-o", out)
    assert "the model scales pixels itself, in the layer 'rescaling' (Rescaling)" in text
    assert "input image: an image of 12x10" in text
    assert "outputs: map, means" in text
    (given,) = pixels(1)
    want = model.predict(given[None].astype(np.float32), verbose=0)
    found = load(out).run({"image": given})
    for name, value in zip(("map", "means"), want, strict=True):
        np.testing.assert_allclose(found[name], value, atol=1e-4)
    assert "parity passed" in output_of("verify", source, out)
    (tmp_path / "photos" / "a").mkdir(parents=True)
    Image.fromarray(given).save(tmp_path / "photos" / "a" / "1.png")
    Image.fromarray(given).save(tmp_path / "photos" / "a" / "2.png")
    assert "in 2 runs" in output_of("verify", source, out, "--data", tmp_path / "photos")


def test_images_of_several_sizes(tmp_path: Path) -> None:
    spec, sizes = InputSpec(12, 12, "rgb", scale=(1 / 255,)), [(12, 12), (16, 20)]
    path = convert(Depth(), tmp_path / "m", input_spec=spec, inputs="image", sizes=sizes)
    image = pixels(1, 16, 20, 3)[0]
    assert load(path).run({"image": image})["depth"].shape == (1, 1, 16, 20)


def test_a_classifier_of_arrays_from_the_command_line(tmp_path: Path) -> None:
    sensors = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    source, out = tmp_path / "motion.pt2", tmp_path / "Motion.mlpackage"
    torch.export.save(torch.export.export(sensors, (torch.zeros(1, 64),)), source)
    labels = ("--labels", "walk,run,sit")
    output_of("convert", source, *labels, "-o", out, "--precision", "float32")
    rows = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    with torch.no_grad():
        best = sensors(torch.from_numpy(rows)).argmax(1).tolist()
    name = load(out).interface.inputs[0].name
    found = [load(out).run({name: row[None]})["classLabel"] for row in rows]
    assert found == [("walk", "run", "sit")[at] for at in best]
    np.savez(tmp_path / "rows.npz", rows=rows)
    text = output_of("verify", source, out, "--data", tmp_path / "rows.npz")
    assert "100 % equal labels" in text


def test_an_image_that_is_wanted_as_an_array(tmp_path: Path) -> None:
    path, out = written(classifier(), tmp_path), tmp_path / "m.mlpackage"
    output_of("convert", path, "--labels", "a,b,c", "--inputs", "array", "-o", out)
    (entry,) = load(out).interface.inputs
    assert (entry.kind, entry.shape) == ("array", (1, 3, 12, 12))
    assert load(out).classes == ("a", "b", "c")
    assert "parity passed" in output_of("verify", path, out)
    error = error_of(
        "convert", path, "--labels", "a,b,c", "--inputs", "array", "--scale", "1/255", "-o", out
    )
    assert "takes an array, so scale, bias, color, crop, ink and size mean nothing" in error
    assert "add --inputs image" in error_of("convert", path, "--scale", "1/255", "-o", out)


def test_what_an_input_may_be_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="inputs 'imgae' is not known; did you mean 'image'"):
        convert(Depth(), tmp_path / "m", inputs="imgae")
    with pytest.raises(OptionError, match="does not say how pixels become its input"):
        convert(Depth(), tmp_path / "m", inputs="image")
    with pytest.raises(OptionError, match="pass labels: .*; if it is no classifier, pass inputs="):
        convert(Depth(), tmp_path / "m", input_spec=SPEC)


def test_a_classifier_of_arrays_with_a_batch_of_any_size(tmp_path: Path) -> None:
    sensors = nn.Sequential(nn.Linear(6, 3)).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(sensors, (torch.zeros(2, 6),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "m.pt2")
    path = convert(tmp_path / "m.pt2", tmp_path / "m", labels=["a", "b", "c"])
    assert load(path).interface.inputs[0].shape == (1, 6)
    assert verify_arrays(tmp_path / "m.pt2", path).passed
    for shape, text in (((8, 6), r"scores of the shape \(8, 3\)"), ((6,), "without a batch, add")):
        torch.export.save(torch.export.export(sensors, (torch.zeros(shape),)), tmp_path / "n.pt2")
        with pytest.raises(ConversionError, match=text):
            convert(tmp_path / "n.pt2", tmp_path / "n", labels=["a", "b", "c"])


def test_keras_models_with_open_sizes(tmp_path: Path) -> None:
    keras = from_keras._import_keras()
    layers = keras.layers
    image = keras.Input((None, None, 3), name="image")
    features = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    model = keras.Model(image, layers.Conv2D(2, 1)(features))
    path = convert(model, tmp_path / "m", precision="float32")
    x = np.random.default_rng(0).random((1, 9, 14, 3), np.float32)
    (found,) = load(path).run({"image": x}).values()
    np.testing.assert_allclose(found, model.predict(x, verbose=0), atol=1e-5)
    steps = keras.Input((None, 4), name="steps")
    recurrent = keras.Model(steps, layers.Dense(2)(layers.LSTM(5)(steps)))
    recurrent.save(tmp_path / "r.keras")
    out = tmp_path / "r.mlpackage"
    error = error_of("convert", tmp_path / "r.keras", "-o", out)
    assert "on the command line: --shape steps=1,20,4" in error
    options = ("--shape", "steps=1,9,4", "--precision", "float32")
    output_of("convert", tmp_path / "r.keras", *options, "-o", out)
    assert load(out).interface.inputs[0].shape == (1, 9, 4)
    assert "parity passed" in output_of("verify", tmp_path / "r.keras", out)
