"""Weights that are fitted to what they are multiplied with; weights in any place of a file."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from pocketlens.conversion import convert
from pocketlens.conversion.compression import Compressor
from pocketlens.conversion.compression.encodings import encode_linear, encode_palette, prune
from pocketlens.conversion.compression.fitting import fit, importance, noise
from pocketlens.conversion.compression.kinds import KINDS
from pocketlens.conversion.compression.moments import Moments, matrix, observe
from pocketlens.conversion.compression.weights import Weight
from pocketlens.conversion.package import write_model
from pocketlens.coreml import inspect, load
from pocketlens.coreml.file.package import ModelFile, open_model
from pocketlens.coreml.file.values import constant_of
from pocketlens.files import size_on_disk
from pocketlens.image import InputSpec

SPEC = InputSpec(16, 16, "rgb")


def related(count: int, inputs: int, seed: int = 0) -> NDArray[np.float64]:
    """Samples `(count, inputs)` that go together, and are not 0 on average."""
    random = np.random.default_rng(seed)
    mixed = random.standard_normal((count, inputs // 3)) @ random.standard_normal(
        (inputs // 3, inputs)
    )
    return mixed + 0.1 * random.standard_normal((count, inputs)) + random.standard_normal(inputs)


def moments_of(x: NDArray[np.float64], *ends: int) -> Moments:
    """Of samples `(groups, count, inputs)`, in blocks that end there."""
    blocks = []
    for start, stop in itertools.pairwise([0, *ends, x.shape[2]]):
        some = np.concatenate([x[:, :, start:stop], np.ones((*x.shape[:2], 1))], 2)
        blocks.append(some.transpose(0, 2, 1) @ some / x.shape[1])
    return Moments(tuple(blocks))


FORMS: dict[str, Callable[[Weight], Any]] = {
    "palette": lambda weight: encode_palette(weight.array, 2),
    "grouped": lambda weight: encode_palette(weight.array, 2, axis=weight.axis, group=4),
    "linear": lambda weight: replace(
        found := encode_linear(weight.array, weight.axis), scale=found.scale * 30
    ),
    "pruned": lambda weight: prune(weight.array, 0.5, axis=weight.axis),
    "pruned palette": lambda weight: prune(weight.array, 0.5, 4, axis=weight.axis),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("shape", "axis", "groups", "ends"),
    [((8, 30), 0, 1, ()), ((30, 8), 1, 1, ()), ((8, 5, 2, 3), 0, 2, ()), ((8, 30), 0, 1, (9, 20))],
)
def test_fitted_weights_give_less_error(
    form: str, shape: tuple[int, ...], axis: int, groups: int, ends: tuple[int, ...]
) -> None:
    random = np.random.default_rng(1)
    array = random.standard_normal(shape).astype(np.float32)
    weight = Weight("w", "w", array, axis, ("y",), random.standard_normal(8).astype(np.float32))
    x = np.stack([related(400, 30, seed) for seed in range(groups)])
    if ends and "pruned" in form:
        pytest.skip("here most of what goes together is in other blocks")
    encoding = FORMS[form](weight)
    found, bias = fit(weight, encoding, moments_of(x, *ends))
    assert bias is not None
    assert type(found) is type(encoding)
    assert found.bits == encoding.bits

    def results(dense: NDArray[Any], offset: NDArray[Any]) -> NDArray[np.float64]:
        rows = matrix(replace(weight, array=dense)).reshape(groups, -1, 30)
        products = np.concatenate(list(x @ rows.transpose(0, 2, 1)), 1)
        summed: NDArray[np.float64] = products + offset
        return summed

    wanted = results(array, weight.bias)  # type: ignore[arg-type]  # it has one
    plain = results(encoding.dense(), weight.bias)  # type: ignore[arg-type]
    fitted = results(found.dense(), bias)
    assert ((fitted - wanted) ** 2).mean() < (0.8 if ends or form == "pruned palette" else 0.5) * (
        (plain - wanted) ** 2
    ).mean()
    np.testing.assert_allclose(fitted.mean(0), wanted.mean(0), atol=2e-2 * wanted.std())


def test_numbers_that_a_form_can_have_stay() -> None:
    array = np.array([[0.5, -1, 2, 0.5], [2, -1, -1, 7]], np.float32)
    weight = Weight("w", "w", array, 0, ("y",), np.zeros(2, np.float32))
    moments = moments_of(related(50, 12)[None, :, :4])
    found, bias = fit(weight, encode_palette(array, 2), moments)
    np.testing.assert_array_equal(found.dense(), array)
    assert bias is not None
    np.testing.assert_allclose(bias, 0, atol=1e-6)
    assert noise(weight, found, moments) == 0
    dead = Moments((np.diag([0.0, 0, 0, 0, 1])[None],))  # as behind a ReLU that never opens
    again, bias = fit(weight, encode_palette(array, 2, importance=importance(weight, dead)), dead)
    assert np.isfinite(again.dense()).all()
    assert bias is not None
    np.testing.assert_allclose(bias, 0, atol=1e-6)


def test_noise_is_that_of_the_samples() -> None:
    random = np.random.default_rng(2)
    weight = Weight("w", "w", random.standard_normal((6, 30)), 0, ("y",), np.zeros(6))
    x = related(300, 30)
    encoding = encode_palette(weight.array, 2)
    error = x @ (encoding.dense() - weight.array).T
    wanted = error.var(0).sum() / (x @ weight.array.T).var(0).sum()
    assert noise(weight, encoding, moments_of(x[None])) == pytest.approx(wanted)
    square = (error**2).sum() / ((x @ weight.array.T) ** 2).sum()
    assert noise(replace(weight, bias=None), encoding, moments_of(x[None])) == pytest.approx(square)


class Net(torch.nn.Module):
    """Convolutions of several kinds, one weight in two places, and a matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = torch.nn.Conv2d(8, 16, (3, 2), dilation=2, groups=4, padding=(2, 0))
        self.shared = torch.nn.Conv2d(16, 16, 1, bias=False)
        self.matrix = torch.nn.Parameter(torch.randn(16, 32) / 4)
        self.last = torch.nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(self.first(x).relu()).relu()
        x = self.shared(self.shared(x).relu())
        logits: torch.Tensor = self.last((x.mean((2, 3)) @ self.matrix).tanh())
        return logits


@pytest.fixture(scope="module", params=["mlpackage", "mlmodel"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("net") / f"Net.{request.param}"
    return convert(Net().eval(), path, labels=list("abcd"), input_spec=SPEC, check=False)


def test_moments_are_those_of_the_tensors(file: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, *SPEC.shape), np.uint8)
    compressor, model = Compressor(file), load(file)
    found = observe(model, compressor.weights, images)
    by_shape = {each.array.shape: each for each in compressor.weights}
    assert len(by_shape[8, 3, 3, 3].places) == 1
    pixels = SPEC.network_input(images)
    rows = F.unfold(torch.from_numpy(pixels), 3, padding=1, stride=2).transpose(1, 2)
    # Of the 64 positions of an image, 48 are chosen: about the same.
    x = np.concatenate([rows.reshape(-1, 27).numpy(), np.ones((3 * 64, 1))], 1)
    (block,) = found[by_shape[8, 3, 3, 3].key].blocks
    np.testing.assert_allclose(block[0], x.T @ x / len(x), atol=0.1 * np.abs(x).max() ** 2)
    assert found[by_shape[16, 2, 3, 2].key].blocks[0].shape == (4, 13, 13)
    assert {each.name for each in compressor.weights} == {
        each.name for each in compressor.weights if each.key in found
    }


@pytest.mark.parametrize("name", ["linear-8", "palette-4", "mixed-4"])
def test_files_are_closer_to_the_original_with_images(
    name: str, file: Path, tmp_path: Path
) -> None:
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (60, *SPEC.shape), np.uint8)
    images //= random.integers(1, 9, (60, 1, 1, 1), np.uint8)
    compressor, model = Compressor(file), load(file)
    wanted = np.log(model.probabilities(images[:20]))
    errors = []
    for number in range(2):
        written = compressor.write(tmp_path / f"{number}{file.suffix}", KINDS[name])
        assert size_on_disk(written) < size_on_disk(file)
        errors.append(np.abs(np.log(load(written).probabilities(images[:20])) - wanted).mean())
        compressor.observe(model, images[20:])
    assert errors[1] < 0.8 * errors[0]


def inline(spec: Any) -> int:
    """Move each large constant into the operations that take it; how many were moved."""
    (function,) = spec.mlProgram.functions.values()
    (block,) = function.block_specializations.values()
    constants = {
        each.outputs[0].name: each.attributes["val"]
        for each in block.operations
        if each.type == "const" and each.outputs[0].type.tensorType.rank >= 2
    }
    for operation in block.operations:
        for argument in operation.inputs.values():
            for binding in argument.arguments:
                if binding.name in constants:
                    binding.value.CopyFrom(constants[binding.name])
    kept = [each for each in block.operations if each.outputs[0].name not in constants]
    copies = [type(each).FromString(each.SerializeToString()) for each in kept]
    del block.operations[:]
    block.operations.extend(copies)
    return len(constants)


def in_text(file: ModelFile) -> int:
    """Move each large constant from the weights file into the program; how many were moved."""
    (function,) = file.spec.mlProgram.functions.values()
    (block,) = function.block_specializations.values()
    moved = 0
    for operation in block.operations:
        value = operation.attributes["val"] if operation.type == "const" else None
        if value is None or value.WhichOneof("value") != "blobFileValue":
            continue
        array = constant_of(file, value)
        value.immediateValue.tensor.bytes.values = array.tobytes()
        moved += array.ndim >= 2
    return moved


@pytest.mark.parametrize("place", ["operations", "text", "text of operations"])
def test_weights_in_any_place_get_smaller(place: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = tmp_path / "Plain.mlpackage"
    convert(Net().eval(), plain, labels=list("abcd"), input_spec=SPEC, check=False)
    opened = open_model(plain)
    moved = in_text(opened) if "text" in place else 0
    if "operations" in place:
        moved = inline(opened.spec)
    assert moved >= 5
    weights = None if "text" in place else plain / "Data/com.apple.CoreML/weights/weight.bin"
    other = tmp_path / "Other.mlpackage"
    write_model(opened.spec, weights, other, force=True)
    images = np.random.default_rng(1).integers(0, 256, (20, *SPEC.shape), np.uint8)
    written, sizes = [], []
    for path in (plain, other):
        compressor, model = Compressor(path), load(path)
        compressor.observe(model, images)
        # The convolution that is used twice has one weight.
        assert sorted(len(each.places) for each in compressor.weights) == [1, 1, 1, 1, 2]
        assert len(compressor.moments) == 5
        small = path.with_name(f"{path.stem}-small.mlpackage")
        written.append(load(compressor.write(small, KINDS["palette-4"])))
        assert inspect(small)["compressed"]["palettized"] >= 5
        sizes.append(size_on_disk(small))
    first, second = (each.probabilities(images) for each in written)
    np.testing.assert_array_equal(first, second)
    assert sizes[1] == pytest.approx(sizes[0], rel=0.05)
