"""`.pt2` files of `torch.export`: converted, and read without running what they contain."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from command_line import error_of, output_of, run_command
from pocketlens.conversion import convert, pt2
from pocketlens.conversion.verifying import verify_arrays
from pocketlens.coreml import load
from pocketlens.errors import ConversionError, OptionError
from pocketlens.evaluation.arrays import ArrayInput
from pocketlens.image import InputSpec

PROGRAM, WEIGHTS = "m/models/model.json", "m/data/weights/model_weights_config.json"


class Regression(nn.Module):
    """A batch of any size; a buffer, and two outputs by name."""

    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm, self.last = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)
        self.register_buffer("offset", torch.arange(2.0))

    def forward(self, x: Tensor, scale: Tensor) -> dict[str, Tensor]:
        y = torch.relu(self.norm(self.first(x)))
        return {"mean": (self.last(y) + self.offset) * scale, "size": y.sum(1, keepdim=True)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    batch = torch.export.Dim("batch", max=32)
    program = torch.export.export(
        Regression().eval(),
        (torch.rand(3, 4), torch.rand(3, 1)),
        dynamic_shapes={"x": {0: batch}, "scale": {0: batch}},
    )
    path = tmp_path_factory.mktemp("pt2") / "m.pt2"
    torch.export.save(program, path)
    return path


def test_arrays_of_any_batch(saved: Path, tmp_path: Path) -> None:
    text = output_of("convert", saved, "-o", tmp_path / "M")
    assert "input x: float32 (any, 4)" in text and "--data X.npz" in text
    model = load(tmp_path / "M.mlpackage")
    assert model.interface.inputs[0].ranges == ((1, 32), (4, 4))
    assert [each.name for each in model.interface.outputs] == ["mean", "size"]
    random = np.random.default_rng(1)
    given: dict[str, Any] = {
        "x": random.random((7, 4), np.float32),
        "scale": random.random((7, 1), np.float32),
    }
    with torch.no_grad():
        want = Regression().eval()(*map(torch.from_numpy, given.values()))
    np.testing.assert_allclose(model.run(given)["mean"], want["mean"].numpy(), atol=5e-3)
    np.savez(tmp_path / "x.npz", **given)
    words = ["verify", saved, tmp_path / "M.mlpackage", "--data", tmp_path / "x.npz", "--json"]
    found = json.loads(output_of(*words))
    assert found["passed"] and found["cases"] == 1


def image_network(channels: int = 3, *, own: bool = False) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(4, 3))
    return nn.Sequential(Divided(), network) if own else network


class Divided(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 255


def save(network: nn.Module, path: Path, *example: Tensor, training: bool = False) -> Path:
    torch.export.save(torch.export.export(network.train(training), example), path)
    return path


@pytest.mark.parametrize("own", [False, True])
def test_with_labels_an_image_is_classified(own: bool, tmp_path: Path) -> None:
    network = image_network(own=own)
    path = save(network, tmp_path / "m.pt2", torch.zeros(1, 3, 12, 12))
    text = output_of("convert", path, "--labels", "a,b,c", "--precision", "float32")
    model = load(tmp_path / "m.mlpackage")
    assert ("the network scales pixels itself, at op 'div'" in text) == own
    assert model.input_spec.scale == pytest.approx([1 if own else 1 / 255] * 3)
    assert ("scale" in model.input_spec.assumed) != own
    images = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3), np.uint8)
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).float() / (1 if own else 255)
    with torch.no_grad():
        want = network.eval()(planes).softmax(1).numpy()
    np.testing.assert_allclose(model.probabilities(images), want, atol=1e-5)
    for image, row in zip(images, want, strict=True):
        folder = tmp_path / "images" / "abc"[row.argmax()]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{image.sum()}.png")
    words = ["verify", path, tmp_path / "m.mlpackage", "--data", tmp_path / "images", "--json"]
    _, out, _ = run_command(*words)
    assert json.loads(out)["agreement"] == 1.0


def test_labels_and_arrays(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(5, 3), nn.Softmax(1))
    path = save(network, tmp_path / "m.pt2", torch.zeros(1, 5))
    made = convert(path, tmp_path / "m", labels=["a", "b", "c"])
    assert load(made).labels == ("a", "b", "c")
    assert verify_arrays(path, made, labels=["a", "b", "c"]).passed
    with pytest.raises(OptionError, match=r"takes input \(1, 5\), not one image"):
        convert(path, tmp_path / "n", labels=["a", "b", "c"], input_spec=InputSpec(5, 1))


@pytest.mark.parametrize(
    ("network", "example", "training", "text"),
    [
        (image_network(), torch.zeros(8, 3, 9, 9), False, r"for batches of 8 images; .*of one"),
        (
            nn.Sequential(nn.Dropout(0.5), image_network()),
            torch.zeros(1, 3, 9, 9),
            True,
            r"in training mode \(op 'dropout'.*; call network\.eval\(\) before",
        ),
        (image_network().double(), torch.zeros(1, 3, 9, 9).double(), False, "type torch.float64"),
    ],
    ids=["batch", "training", "double"],
)
def test_exports_that_do_not_fit(
    network: nn.Module, example: Tensor, training: bool, text: str, tmp_path: Path
) -> None:
    path = save(network, tmp_path / "m.pt2", example, training=training)
    with pytest.raises(ConversionError, match=text):
        convert(path, tmp_path / "m", labels=["a", "b", "c"], input_spec=InputSpec(9, 9, "rgb"))


# --- files of others


class Attack:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("attacked"),))


CODE = "__import__('pathlib').Path('attacked').touch()"


def pickled() -> bytes:
    buffer = io.BytesIO()
    torch.save({"x": Attack()}, buffer)
    return buffer.getvalue()


def program(change: Callable[[Any], None]) -> Callable[[dict[str, bytes]], None]:
    def changed(parts: dict[str, bytes]) -> None:
        content = json.loads(parts[PROGRAM])
        change(content)
        parts[PROGRAM] = json.dumps(content).encode()

    return changed


def weight(parts: dict[str, bytes]) -> None:
    config = json.loads(parts[WEIGHTS])
    first = next(iter(config["config"].values()))
    first["use_pickle"] = True
    parts[WEIGHTS] = json.dumps(config).encode()
    parts[f"m/data/weights/{first['path_name']}"] = pickled()


def named_object(parts: dict[str, bytes]) -> None:
    config = {"config": {"c": {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True}}}
    parts["m/data/constants/model_constants_config.json"] = json.dumps(config).encode()
    parts["m/data/constants/opaque_obj_0"] = pickle.dumps(Attack())


def put(name: str, content: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda parts: parts.update({name: content})


def target(name: str) -> Callable[[dict[str, bytes]], None]:
    return program(lambda p: p["graph_module"]["graph"]["nodes"][0].update(target=name))


def sized(text: str) -> Callable[[dict[str, bytes]], None]:
    def change(content: Any) -> None:
        values = content["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
        values[0]["as_expr"]["expr_str"] = text

    return program(change)


def renamed_input(content: Any) -> None:
    text = json.dumps(content).replace('"x"', json.dumps(f"x={CODE}"))
    content.clear()
    content.update(json.loads(text))


def tree(content: Any) -> None:
    spec = [1, {"type": "collections.defaultdict", "context": "null", "children_spec": []}]
    signature = content["graph_module"]["module_call_graph"][0]["signature"]
    signature["in_spec"] = json.dumps(spec)


HOSTILE: dict[str, tuple[Callable[[dict[str, bytes]], None], str]] = {
    "pickled weight": (weight, r"stores the tensor 'first\.weight' as a pickle, which runs code"),
    "pickled weights": (put("m/data/weights/model.pt", pickled()), "its weights as a pickle"),
    "pickled example": (put("m/data/sample_inputs/model.pt", pickled()), "example inputs as a pi"),
    "pickled constant": (named_object, "the tensor 'c' as a pickle"),
    "compiled code": (put("m/data/aotinductor/model/x.so", b"x"), "contains 'data/aotinductor/mo"),
    "old format": (put("m/serialized_state_dict.pt", pickled()), "contains 'serialized_state_di"),
    "function": (target("torch.hub.load"), r"calls 'torch\.hub\.load', which is not an op"),
    "inner function": (target("torch.ops.aten.add.__globals__"), "calls 'torch.ops.aten.add.__gl"),
    "file": (target("torch.ops.aten.from_file.default"), "which is not an op of PyTorch's own"),
    "custom op": (target("torch.ops.mine.op.default"), "calls 'torch.ops.mine.op.default'"),
    "size": (sized(f"Symbol({CODE!r})"), "has the size .*; expected an arithmetic"),
    "size as code": (sized(CODE), "has the size .*; expected an arithmetic expression"),
    "endless size": (sized("9**9**9**9"), "expected an arithmetic expression"),
    "name": (program(renamed_input), "has the name .*; expected letters, digits and underscores"),
    "module": (program(tree), r"takes or returns a collections\.defaultdict; expected tensors"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_in_a_file_is_run(
    name: str, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, text = HOSTILE[name]
    with zipfile.ZipFile(saved) as archive:
        parts = {each: archive.read(each) for each in archive.namelist()}
    change(parts)
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("bad.pt2", "w") as archive:
        for each, content in parts.items():
            archive.writestr(each, content)
    with pytest.raises(ConversionError, match=text) as caught:
        convert("bad.pt2", "out")
    assert "\n" not in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == ["bad.pt2"]


def test_guards_are_not_run(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(saved) as archive:
        parts = {each: archive.read(each) for each in archive.namelist()}
    program(lambda p: p.update(guards_code=[CODE]))(parts)
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("m.pt2", "w") as archive:
        for each, content in parts.items():
            archive.writestr(each, content)
    convert("m.pt2", "out", precision="float32")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["m.pt2", "out.mlpackage"]


def test_damaged_and_large_files(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.pt2"
    path.write_bytes(saved.read_bytes()[:1000])
    assert "cannot be read as a .pt2 file" in error_of("convert", path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("version", "8.8")
    assert "an older PyTorch saved it" in error_of("convert", path)
    monkeypatch.setattr(pt2, "MAX_PT2_BYTES", 1000)
    with pytest.raises(ConversionError, match="expected at most 1.0 KB"):
        convert(saved, tmp_path / "out")


# --- images of several sizes, arrays of several sizes


def test_images_of_several_sizes(tmp_path: Path) -> None:
    network = image_network().eval()
    sides = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    program = torch.export.export(network, (torch.zeros(1, 3, 24, 24),), dynamic_shapes=(sides,))
    torch.export.save(program, tmp_path / "m.pt2")
    words = ["convert", tmp_path / "m.pt2", "--labels", "a,b,c", "--precision", "float32"]
    assert "accepts any input size; add --size" in error_of(*words)
    output_of(*words, "--size", "24x24,32x40", "-o", tmp_path / "M")
    spec = InputSpec(24, 24, "rgb")  # scale 1/255
    options: dict[str, Any] = {"labels": list("abc"), "precision": "float32"}
    sizes = ((24, 24), (32, 40))
    convert(network, tmp_path / "N.mlmodel", input_spec=spec, sizes=sizes, **options)
    for name in ("M.mlpackage", "N.mlmodel"):
        model = load(tmp_path / name)
        assert set(model.interface.inputs[0].shapes) == set(sizes)
        for height, width in sizes:
            image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
            planes = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
            with torch.no_grad():
                want = network(planes).softmax(1)[0].tolist()
            got = model.run({"image": image})["classLabel_probs"]
            assert list(got.values()) == pytest.approx(want, abs=1e-5)
    with pytest.raises(OptionError, match=r"sizes are 9x9, 12x12; expected .*24x24, among them"):
        convert(network, tmp_path / "O", input_spec=spec, sizes=((9, 9), (12, 12)), **options)


class Pooled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x).mean((2, 3))


def test_arrays_of_several_sizes(tmp_path: Path) -> None:
    inputs = [ArrayInput("x", (1, 2, (8, 12), (8, 10)))]
    path = convert(Pooled(), tmp_path / "m", inputs=inputs, precision="float32")
    model = load(path)
    assert set(model.interface.inputs[0].shapes) == {(1, 2, 8, 8), (1, 2, 12, 10)}
    x = np.random.default_rng(0).normal(size=(1, 2, 12, 10)).astype(np.float32)
    want = np.maximum(x, 0).mean((2, 3))
    np.testing.assert_allclose(model.run({"x": x})["output"], want, atol=1e-6)
    assert verify_arrays(Pooled(), path, {"x": x}, inputs=inputs).passed
    with pytest.raises(OptionError, match="expected as many sizes in each dimension"):
        convert(Pooled(), path, inputs=[ArrayInput("x", (1, 2, (8, 12), None))], force=True)
    with pytest.raises(OptionError, match=r"a size is for a classifier of images; pass labels"):
        convert(Pooled(), path, inputs=inputs, sizes=((8, 8),), force=True)
