"""Models with flexible input shapes, with and without ops that need fixed sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pocketlens.coreml import load
from pocketlens.coreml.runtime import cache, flexible
from pocketlens.errors import (
    FeatureError,
    ModelFileError,
    UnsupportedModelError,
    UnsupportedParameter,
)


def random(*shape: int) -> np.ndarray:
    """Normally distributed numbers, seeded by the shape."""
    return np.random.default_rng([8, *shape]).standard_normal(shape).astype(np.float32)


def normalization(files: Any) -> Any:
    """Local response normalization of [1, C, H, W], which needs fixed sizes."""
    x = np.zeros((1, 4, 3, 3), np.float32)
    spec = files.network_spec(
        "lrn", [x], {"alpha": 2.0, "beta": 0.5, "k": 1.0, "localSize": 3}, [()]
    )
    ranges = spec.description.input[0].type.multiArrayType.shapeRange.sizeRanges
    for low, high in ((1, 1), (4, 4), (1, 9), (2, -1)):
        ranges.add(lowerBound=low, upperBound=high)
    return spec


def expected(x: np.ndarray) -> np.ndarray:
    squares = np.pad(x**2, [(0, 0), (1, 1), (0, 0), (0, 0)])
    total = sum(squares[:, i : i + x.shape[1]] for i in range(3))
    result: np.ndarray = x / np.sqrt(1 + 2 / 3 * total)
    return result


def test_each_shape_is_translated(files: Any, save: Callable[..., Path]) -> None:
    model = load(save(normalization(files)))
    assert isinstance(model, flexible.FlexibleModel)
    for height, width in ((3, 3), (1, 2), (9, 20), (3, 3)):
        x = random(1, 4, height, width)
        np.testing.assert_allclose(model.run({"x0": x})["y0"], expected(x), rtol=1e-5)
    tensors = model.run({"x0": np.ones((1, 4, 2, 2))}, intermediate=True)
    assert tensors["y0"].shape == (1, 4, 2, 2)


def test_most_recent_shapes_are_kept(files: Any, save: Callable[..., Path]) -> None:
    model = load(save(normalization(files)))
    assert isinstance(model, flexible.FlexibleModel)
    for width in range(2, 2 + 2 * cache.MAX_MODELS):
        x = np.full((1, 4, 1, width), 0.5, np.float32)
        np.testing.assert_allclose(model.run({"x0": x})["y0"], expected(x), rtol=1e-5)
    assert len(model._models) == cache.MAX_MODELS


def test_shape_that_is_not_allowed(files: Any, save: Callable[..., Path]) -> None:
    model = load(save(normalization(files)))
    with pytest.raises(FeatureError) as caught:
        model.run({"x0": np.zeros((1, 4, 10, 3))})
    assert str(caught.value) == (
        "the input 'x0' has the shape 1 × 4 × 1–9 × 2–∞; received: 1 × 4 × 10 × 3"
    )
    with pytest.raises(FeatureError, match="is not an array"):
        model.run({"x0": [[1], [1, 2]]})
    with pytest.raises(FeatureError, match="needs the input 'x0'"):
        model.run({})


def test_cannot_be_exported_to_onnx(files: Any, save: Callable[..., Path], tmp_path: Path) -> None:
    model = load(save(normalization(files)))
    with pytest.raises(UnsupportedModelError, match="only a model of fixed shapes"):
        model.to_onnx(tmp_path / "m.onnx")


def test_model_that_runs_with_no_shape_is_rejected_on_loading(
    files: Any, save: Callable[..., Path]
) -> None:
    x = np.zeros((1, 4, 3, 3), np.float32)
    spec = files.program_spec("gelu", {"x": x}, {"mode": "UNKNOWN"}, [("float32", x.shape)])
    array = spec.description.input[0].type.multiArrayType
    for size in x.shape:
        array.shapeRange.sizeRanges.add(lowerBound=1, upperBound=size)
    with pytest.raises(UnsupportedParameter, match="UNKNOWN"):
        load(save(spec))


def test_default_shape_that_does_not_run(files: Any, save: Callable[..., Path]) -> None:
    """coremltools writes the smallest shape of a range as the default."""
    spec = normalization(files)
    spec.description.input[0].type.multiArrayType.shape[:] = [1, 4, 1, 2]
    layers = spec.neuralNetwork.layers
    layers[0].output[:] = ["normal"]
    rows = layers.add(name="rows", input=["normal"], output=["y0"])
    rows.reshapeStatic.targetShape.extend([4, 9])
    model = load(save(spec))
    x = random(1, 4, 3, 3)
    np.testing.assert_allclose(model.run({"x0": x})["y0"], expected(x).reshape(4, 9), rtol=1e-5)
    with pytest.raises(ModelFileError, match="the layer 'rows' .* cannot have the shape"):
        model.run({"x0": x[:, :, :1, :2]})
    rows.name = "ro\nws" * 1000
    with pytest.raises(ModelFileError) as caught:
        load(save(spec)).run({"x0": x[:, :, :1, :2]})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2100


@pytest.mark.parametrize("lead", [(1,), (2, 3)], ids=str)
def test_inner_products_of_any_number_of_rows(
    lead: tuple[int, ...], files: Any, save: Callable[..., Path]
) -> None:
    weights = random(5, 4)
    fields = {"inputChannels": 4, "outputChannels": 5, "weights": weights}
    spec = files.network_spec("innerProduct", [np.zeros((*lead, 1))], fields, [()])
    ranges = spec.description.input[0].type.multiArrayType.shapeRange.sizeRanges
    for _ in range(len(lead) + 1):
        ranges.add(lowerBound=1, upperBound=-1)
    model = load(save(spec))
    assert not isinstance(model, flexible.FlexibleModel), "one graph works for all shapes"
    x = random(*lead, 4)
    np.testing.assert_allclose(model.run({"x0": x})["y0"], x @ weights.T, rtol=1e-5, atol=1e-6)


def test_size_given_as_a_single_number(files: Any, save: Callable[..., Path]) -> None:
    spec = files.network_spec("squeeze", [np.array([3], np.float32)], {"squeezeAll": True}, [(3,)])
    layers = spec.neuralNetwork.layers
    layers[0].output[:] = ["size"]
    filled = layers.add(name="filled", input=["size"], output=["y0"])
    filled.fillDynamic.value = 2.0
    assert load(save(spec)).run({"x0": np.array([3], np.float32)})["y0"].tolist() == [2, 2, 2]


def test_scatter_with_any_number_of_rows(files: Any, save: Callable[..., Path]) -> None:
    data = random(5, 4)
    inputs = {"data": data, "indices": np.array([0], np.int32), "updates": data[:1]}
    spec = files.program_spec("scatter", inputs, {}, [("float32", (5, 4))])
    function = spec.mlProgram.functions["main"]
    for feature, declared in list(zip(spec.description.input, function.inputs, strict=True))[1:]:
        ranges = feature.type.multiArrayType.shapeRange.sizeRanges
        ranges.add(lowerBound=1, upperBound=-1)
        if feature.name == "updates":
            ranges.add(lowerBound=4, upperBound=4)
        declared.type.tensorType.dimensions[0].unknown.variadic = False
    model = load(save(spec))
    assert not isinstance(model, flexible.FlexibleModel), "one graph works for all shapes"
    for rows in ([3], [0, 4, 0]):
        updates = random(len(rows), 4)
        total = data.copy()
        np.add.at(total, rows, updates)
        answer = model.run({"data": data, "indices": rows, "updates": updates})["y0"]
        np.testing.assert_allclose(answer, total, rtol=1e-5, atol=1e-6)


def open_sizes(files: Any, op: str, x: np.ndarray, fields: dict[str, Any]) -> Any:
    """An ML Program of one op; its input and output have the rank of `x`, and flexible sizes."""
    spec = files.program_spec(op, {"x": x}, fields, [("float32", x.shape)])
    function = spec.mlProgram.functions["main"]
    operation = function.block_specializations["CoreML6"].operations[-1]
    for each in (function.inputs[0], operation.outputs[0]):
        for dimension in each.type.tensorType.dimensions:
            dimension.unknown.variadic = False
    for _ in x.shape:
        ranges = spec.description.input[0].type.multiArrayType.shapeRange.sizeRanges
        ranges.add(lowerBound=1, upperBound=-1)
    spec.description.output[0].type.multiArrayType.ClearField("shape")
    return spec


def test_space_to_batch_with_flexible_sizes(files: Any, save: Callable[..., Path]) -> None:
    """The padding depends on sizes that are known only at run time."""
    edges = np.array([[1, 0], [0, 3]], np.int32)
    fields = {"block_shape": np.array([2, 3], np.int32), "paddings": edges}
    x = np.zeros((1, 1, 1, 3), np.float32)
    there = load(save(open_sizes(files, "space_to_batch", x, fields)))
    fields = {"block_shape": np.array([2, 3], np.int32), "crops": edges}
    x = np.zeros((6, 1, 1, 2), np.float32)
    back = load(save(open_sizes(files, "batch_to_space", x, fields)))
    for model in (there, back):
        assert not isinstance(model, flexible.FlexibleModel), "one graph works for all shapes"
    for shape in ((1, 1, 3, 3), (2, 5, 7, 6)):
        x = random(*shape)
        padded = np.pad(x, [(0, 0), (0, 0), *edges.tolist()])
        blocks = [padded[:, :, i::2, j::3] for i in range(2) for j in range(3)]
        cells = there.run({"x": x})["y0"]
        np.testing.assert_array_equal(cells, np.concatenate(blocks))
        np.testing.assert_array_equal(back.run({"x": cells})["y0"], x)
    with pytest.raises(FeatureError, match="fails on these inputs: .*Reshape"):
        there.run({"x": np.zeros((1, 1, 2, 3), np.float32)})


def test_output_that_is_returned_twice(files: Any, save: Callable[..., Path]) -> None:
    x = np.array([[-1, 2]], np.float32)
    spec = files.program_spec("relu", {"x": x}, {}, [("float32", x.shape)])
    spec.description.output.add().CopyFrom(spec.description.output[0])
    spec.mlProgram.functions["main"].block_specializations["CoreML6"].outputs.append("y0")
    assert load(save(spec)).run({"x": x})["y0"].tolist() == [[0, 2]]
    spec.description.output[1].type.multiArrayType.shape[:] = [2]
    with pytest.raises(ModelFileError, match="declares the feature 'y0' twice"):
        load(save(spec))


def test_flexible_sizes_with_one_graph(tmp_path: Path) -> None:
    """An ML Program by coremltools, compared with PyTorch and NumPy; it can be exported to ONNX."""
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil import get_new_symbol

    sizes = (1, 2, get_new_symbol(), get_new_symbol())

    decorator: Callable[..., Any] = mb.program(
        input_specs=[mb.TensorSpec(sizes)], opset_version=ct.target.iOS15
    )

    @decorator
    def program(x: Any) -> Any:
        larger = [
            mb.upsample_bilinear(
                x=x, scale_factor_height=2.0, scale_factor_width=3.0, align_corners=corners
            )
            for corners in (False, True)
        ]
        sides = {"target_size_height": 5, "target_size_width": 3}
        resized = [
            mb.resize_bilinear(x=x, **sides, sampling_mode=mode)
            for mode in ("UNALIGN_CORNERS", "STRICT_ALIGN_CORNERS")
        ]
        joined = mb.concat(values=[x, x], axis=-1, interleave=True)
        return (*larger, *resized, joined, mb.band_part(x=x, lower=1, upper=0))

    ranges = ct.Shape((1, 2, ct.RangeDim(2, 9, default=4), ct.RangeDim(2, 9, default=4)))
    made = ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS15,
        compute_precision=ct.precision.FLOAT32,
        inputs=[ct.TensorType("x", shape=ranges)],
        skip_model_load=True,
    )
    made.save(str(tmp_path / "open.mlpackage"))
    model = load(tmp_path / "open.mlpackage")
    assert not isinstance(model, flexible.FlexibleModel)
    model.to_onnx(tmp_path / "open.onnx")
    for height, width in ((4, 4), (7, 3), (2, 9)):
        x = random(1, 2, height, width)
        corners = (False, True)
        scaled = [_resize(x, each, scale_factor=(2, 3)) for each in corners]
        resized = [_resize(x, each, size=(5, 3)) for each in corners]
        arrays = [*scaled, *resized, np.repeat(x, 2, -1), np.tril(x) - np.tril(x, -2)]
        answers = model.run({"x": x})
        for feature, array in zip(model.interface.outputs, arrays, strict=True):
            np.testing.assert_allclose(answers[feature.name], array, rtol=1e-4, atol=1e-5)


def _resize(
    x: np.ndarray,
    align_corners: bool,
    *,
    size: tuple[int, int] | None = None,
    scale_factor: tuple[float, float] | None = None,
) -> np.ndarray:
    resized: np.ndarray = torch.nn.functional.interpolate(
        torch.from_numpy(x),
        size=size,
        scale_factor=None if scale_factor is None else list(scale_factor),
        mode="bilinear",
        align_corners=align_corners,
    ).numpy()
    return resized


def test_memory_of_a_run_with_open_shapes(files: Any, save: Callable[..., Path]) -> None:
    """x + its column: an input of 240 kB would need a tensor of 14 GB."""
    x, y = np.zeros((1, 3), np.float32), np.zeros((3, 1), np.float32)
    spec = files.program_spec("add", {"x": x, "y": y}, {}, [("float32", (3, 3))])
    function = spec.mlProgram.functions["main"]
    for number, shape in enumerate([(1, None), (None, 1)]):
        function.inputs[number].type.CopyFrom(files.type_message("float32", shape))
        ranges = spec.description.input[number].type.multiArrayType.shapeRange.sizeRanges
        for size in shape:
            ranges.add(lowerBound=1, upperBound=1 if size else -1)
    operation = function.block_specializations["CoreML6"].operations[0]
    operation.outputs[0].type.CopyFrom(files.type_message("float32", (None, None)))
    del spec.description.output[0].type.multiArrayType.shape[:]
    model = load(save(spec))
    for size in (5, 60_000, 7):
        feed = {"x": np.ones((1, size), np.float32), "y": np.ones((size, 1), np.float32)}
        if size < 1000:
            assert model.run(feed)["y0"].shape == (size, size)
            continue
        with pytest.raises(FeatureError, match=r"tensor of 60000 × 60000 would bring .* 14\.4 GB"):
            model.run(feed)
