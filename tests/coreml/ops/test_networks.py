"""Whole networks, converted by coremltools, compared with PyTorch: both dialects and precisions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from arrays import f32
from pocketlens.coreml import CoreMLModel, load

LABELS = [f"class {n}" for n in range(5)]


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.body(x))


class Split(nn.Module):
    """Two concatenated branches, a squeeze-and-excite gate, global pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.right = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(3, 6, 1), nn.SiLU())
        self.gate = nn.Sequential(nn.Conv2d(12, 4, 1), nn.Hardswish(), nn.Conv2d(4, 12, 1))
        self.head = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([torch.nn.functional.gelu(self.left(x)), self.right(x)], 1)
        x = x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        return torch.softmax(self.head(x.mean((2, 3))), 1)


class Standardized(nn.Module):
    """Per-image standardization inside the network, layer norm and leaky activations."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x - x.mean((1, 2, 3), keepdim=True)) / (x.std((1, 2, 3), keepdim=True) + 1e-3)
        x = torch.nn.functional.leaky_relu(self.conv(x), 0.1).amax((2, 3))
        return torch.softmax(self.head(self.norm(x)), 1)


def classic() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(8, 8, 2, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(8 * 9, 20),
        nn.ReLU(),
        nn.Linear(20, 5),
        nn.Softmax(1),
    )


def residual() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2, padding=2),
        nn.GELU(),
        Residual(8),
        nn.MaxPool2d(3, 2, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
        nn.Softmax(1),
    )


NETWORKS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "classic": (classic, "GRAYSCALE"),
    "residual": (residual, "RGB"),
    "branches": (Split, "BGR"),
    "standardized": (Standardized, "GRAYSCALE"),
}


@cache
def network(name: str) -> nn.Module:
    torch.manual_seed(3)
    made = NETWORKS[name][0]().eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return made


@cache
def exported(name: str) -> Any:
    x = torch.rand(1, 1 if NETWORKS[name][1] == "GRAYSCALE" else 3, 12, 12)
    return torch.export.export(network(name), (x,)).run_decompositions({})


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Converts a network to a Core ML file, once per session."""
    folder = tmp_path_factory.mktemp("networks")

    @cache
    def convert(name: str, form: str) -> Path:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import coremltools as ct

            layout = getattr(ct.colorlayout, NETWORKS[name][1])
            gray = NETWORKS[name][1] == "GRAYSCALE"
            options: dict[str, Any] = {"convert_to": "neuralnetwork"}
            if form != "layers":
                precision = ct.precision.FLOAT16 if form == "half" else ct.precision.FLOAT32
                options = {
                    "convert_to": "mlprogram",
                    "compute_precision": precision,
                    "minimum_deployment_target": ct.target.iOS16,
                }
            model = ct.convert(
                exported(name),
                inputs=[
                    ct.ImageType(
                        "image",
                        shape=(1, 1 if gray else 3, 12, 12),
                        color_layout=layout,
                        scale=1 / 128,
                        bias=-0.5 if gray else [-0.9, -1.0, -1.1],
                    )
                ],
                classifier_config=ct.ClassifierConfig(LABELS),
                **options,
            )
        suffix = "mlmodel" if form == "layers" else "mlpackage"
        path = folder / f"{name}-{form}.{suffix}"
        model.save(str(path))
        return path

    return convert


def images_for(name: str, count: int) -> np.ndarray:
    channels = 1 if NETWORKS[name][1] == "GRAYSCALE" else 3
    random = np.random.default_rng(5)
    return random.integers(0, 256, (count, 12, 12, channels), dtype=np.uint8)


def by_pytorch(name: str, images: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2)
    if NETWORKS[name][1] == "BGR":
        x = x.flip(1)
    bias = [-0.5] if x.shape[1] == 1 else [-0.9, -1.0, -1.1]
    with torch.no_grad():
        y: torch.Tensor = network(name)(x / 128 + torch.tensor(bias).reshape(1, -1, 1, 1))
    return y.numpy()


@pytest.mark.parametrize("form", ["single", "half", "layers"])
@pytest.mark.parametrize("name", NETWORKS)
def test_agrees_with_pytorch(name: str, form: str, converted: Callable[..., Path]) -> None:
    model = load(converted(name, form))
    images = images_for(name, 40)
    ours, theirs = model.probabilities(images), by_pytorch(name, images)
    assert model.classes == tuple(LABELS)
    assert ours.shape == (40, 5)
    assert ours.dtype == np.float32
    assert np.abs(ours - theirs).max() < (4e-3 if form == "half" else 2e-6)
    # The probabilities must differ between the images, or agreement would mean nothing.
    assert theirs.std(0).max() > (1e-3 if name != "residual" else 1e-4)


@pytest.mark.parametrize("form", ["half", "layers"])
def test_intermediate_tensors_by_name(form: str, converted: Callable[..., Path]) -> None:
    model = load(converted("classic", form))
    image = images_for("classic", 1)[0, :, :, 0]
    tensors = model.run({"image": image}, intermediate=True)
    net = network("classic")
    assert isinstance(net, nn.Sequential)
    x = torch.from_numpy(image.astype(np.float32))[None, None] / 128 - 0.5
    with torch.no_grad():
        first = net[2](net[1](net[0](x))).numpy()
    pooled = next(
        array
        for name, array in tensors.items()
        if "max_pool" in name and getattr(array, "shape", ()) == first.shape
    )
    np.testing.assert_allclose(pooled, first, atol=2e-3)
    assert pooled.dtype == (np.float16 if form == "half" else np.float32)
    plain = model.run({"image": image})
    assert plain["classLabel"] == tensors["classLabel"]
    assert {k: v for k, v in tensors.items() if k in plain} == plain


def test_describe(converted: Callable[..., Path]) -> None:
    import json

    path = converted("residual", "half")
    said = load(path).inspect()
    assert json.loads(json.dumps(said)) == said
    assert said["kind"] == "ML Program"
    assert (said["specification_version"], said["opset"]) == (7, "CoreML6")
    assert said["inputs"] == [
        {
            "name": "image",
            "type": "image",
            "description": "",
            "height": 12,
            "width": 12,
            "color": "rgb",
        }
    ]
    assert [o["type"] for o in said["outputs"]] == ["string", "dictionary"]
    assert said["classes"] == LABELS
    assert said["ops"]["conv"] == 3
    assert said["bytes"] == sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    # Batch norms are folded into the convolutions: their weights and biases, and the head.
    layers = [(8, 3, 5), (8, 8, 3), (8, 1, 3)]
    count = sum(o * i * k * k + o for o, i, k in layers) + 5 * 8 + 5
    assert said["weights"] == {"float16": count, "float32": 3}  # the image's bias per channel
    assert said["parameters"] == count + 3
    layers_said = load(converted("residual", "layers")).inspect()
    assert layers_said["kind"] == "neural network"
    assert layers_said["weights"] == {"float32": count}
    assert layers_said["ops"]["convolution"] == 3


def test_onnx_file_is_the_same_model(converted: Callable[..., Path], tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    model = load(converted("branches", "half"))
    path = model.to_onnx(tmp_path / "net.onnx")
    onnx.checker.check_model(onnx.load(path), full_check=True)
    image = images_for("branches", 1)
    planes = image.transpose(0, 3, 1, 2)[:, ::-1].astype(np.float32)  # BGR, as the file declares
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    label, row = session.run(None, {"image": planes})
    assert str(label) == model.predict(image[0]).label
    np.testing.assert_array_equal(row, model.probabilities(image)[0])


def test_single_images_give_the_same_as_a_batch(converted: Callable[..., Path]) -> None:
    """Many images are divided among threads; each must get its own result."""
    model = load(converted("classic", "half"))
    images = images_for("classic", 200)
    together = model.probabilities(images)
    apart = np.concatenate([model.probabilities(images[i : i + 1]) for i in range(200)])
    np.testing.assert_array_equal(together, apart)
    assert isinstance(model, CoreMLModel)


def test_training_parameters_are_ignored(save: Callable[..., Path], files: Any) -> None:
    """An updatable network: isUpdatable, updateParams and training inputs do not affect a run."""
    x, matrix, offset = f32([1, -2, 3]), f32([[1, 2, 3], [4, 5, 6]]), f32([7])
    fields = {"inputChannels": 3, "outputChannels": 2, "weights": matrix, "hasBias": True}
    spec = files.network_spec("innerProduct", [x], fields | {"bias": offset.repeat(2)}, [(2,)])
    spec.isUpdatable = True
    files.set_array_feature(spec.description.trainingInput.add(), "x0", "float32", x.shape)
    files.set_array_feature(spec.description.trainingInput.add(), "y0_true", "float32", (2,))
    layer = spec.neuralNetwork.layers[0]
    layer.isUpdatable = True
    layer.innerProduct.weights.isUpdatable = layer.innerProduct.bias.isUpdatable = True
    loss = {"meanSquaredErrorLossLayer": {"input": "y0", "target": "y0_true"}}
    rate = {"learningRate": {"defaultValue": 0.1}, "miniBatchSize": {"defaultValue": 4}}
    optimizer = {"sgdOptimizer": rate}
    training = {"lossLayers": [loss], "optimizer": optimizer, "epochs": {"defaultValue": 5}}
    files.fill(spec.neuralNetwork, {"updateParams": training})
    np.testing.assert_array_equal(load(save(spec)).run({"x0": x})["y0"], [6 + 7, 12 + 7])


def test_an_output_has_its_declared_shape(save: Callable[..., Path], files: Any) -> None:
    """As coremltools' tests expect for a network with an output declared as [C, H, W]."""
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for declared in ((2, 3), (3, 2), (1, 2, 3)):
        spec = files.network_spec("expandDims", [x], {"axes": [0]}, [declared])
        assert np.array_equal(load(save(spec)).run({"x0": x})["y0"], x.reshape(declared))
    spec = files.network_spec("expandDims", [x], {"axes": [0]}, [(4, 4)])
    assert load(save(spec)).run({"x0": x})["y0"].shape == (1, 2, 3)


@pytest.mark.parametrize("sizes", [(2, 3, 4, 5, 6), (1, 1, 2, 1, 3)])
def test_leading_dimensions_of_any_size(
    sizes: tuple[int, ...], save: Callable[..., Path], files: Any
) -> None:
    """Layers for [N, C, H, W] get more dimensions, all of unknown size."""
    x = np.arange(np.prod(sizes), dtype=np.float32).reshape(sizes)
    fields = {"type": "AVERAGE", "globalPooling": True}
    spec = files.network_spec("pooling", [x], fields, [()])
    ranges = spec.description.input[0].type.multiArrayType.shapeRange.sizeRanges
    for _ in sizes:
        ranges.add(lowerBound=1, upperBound=-1)
    model = load(save(spec))
    answer = model.run({"x0": x})["y0"]
    np.testing.assert_allclose(answer, x.mean((3, 4), keepdims=True), rtol=1e-5)
    assert type(model).__name__ == "GraphModel", "one graph serves all shapes"


def test_quantized_and_back_without_a_zero_point(tmp_path: Path) -> None:
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb

    step = f32([0.5, 2, 0.25])

    def build(x: Any) -> Any:
        codes = mb.quantize(input=x, scale=np.float32(1), output_dtype="int8")
        return mb.dequantize(input=codes, scale=step, axis=1, name="y")

    specs = [mb.TensorSpec(shape=(2, 3))]
    program = mb.program(input_specs=specs, opset_version=ct.target.iOS17)(build)
    path = tmp_path / "m.mlpackage"
    ct.convert(
        program,
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    ).save(str(path))
    x = f32([[1.2, -3.7, 200], [0, -300, 5]])
    expected = f32([[1, -4, 127], [0, -128, 5]]) * step
    assert load(path).run({"x": x})["y"].tolist() == expected.tolist()


def test_program_without_inputs(files: Any, save: Callable[..., Path]) -> None:
    x = np.zeros((1, 3), np.float32)
    spec = files.program_spec("add", {}, {"x": x + 1, "y": x + 2}, [("float32", x.shape)])
    del spec.description.input[:]
    del spec.mlProgram.functions["main"].inputs[:]
    assert load(save(spec)).run({})["y0"].tolist() == [[3, 3, 3]]
