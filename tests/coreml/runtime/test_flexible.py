"""Models whose inputs may have several shapes, where an op needs to know them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pocketlens.coreml import load
from pocketlens.coreml.runtime import flexible, recent
from pocketlens.errors import (
    FeatureError,
    ModelFileError,
    UnsupportedModelError,
    UnsupportedParameter,
)

R = np.random.default_rng(8)


def pooled(files: Any, **pool: Any) -> Any:
    """Local response normalization, which needs every size, of [1, C, H, W]."""
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
    return x / np.sqrt(1 + 2 / 3 * total)


def test_each_shape_is_translated(files: Any, save: Callable[..., Path]) -> None:
    model = load(save(pooled(files)))
    assert isinstance(model, flexible.FlexibleModel)
    for height, width in ((3, 3), (1, 2), (9, 20), (3, 3)):
        x = R.standard_normal((1, 4, height, width)).astype(np.float32)
        np.testing.assert_allclose(model.run({"x0": x})["y0"], expected(x), rtol=1e-5)
    tensors = model.run({"x0": np.ones((1, 4, 2, 2))}, intermediate=True)
    assert tensors["y0"].shape == (1, 4, 2, 2)


def test_only_the_last_shapes_are_kept(files: Any, save: Callable[..., Path]) -> None:
    model = load(save(pooled(files)))
    for width in range(2, 2 + 2 * recent.MAX_MODELS):
        x = np.full((1, 4, 1, width), 0.5, np.float32)
        np.testing.assert_allclose(model.run({"x0": x})["y0"], expected(x), rtol=1e-5)
    assert len(model._models) == recent.MAX_MODELS


def test_a_shape_that_is_not_allowed(files: Any, save: Callable[..., Path]) -> None:
    model = load(save(pooled(files)))
    with pytest.raises(FeatureError) as caught:
        model.run({"x0": np.zeros((1, 4, 10, 3))})
    assert str(caught.value) == (
        "the input 'x0' has the shape 1 × 4 × 1–9 × 2–∞; received: 1 × 4 × 10 × 3"
    )
    with pytest.raises(FeatureError, match="is no array"):
        model.run({"x0": [[1], [1, 2]]})
    with pytest.raises(FeatureError, match="needs the input 'x0'"):
        model.run({})


def test_it_is_no_onnx_file(files: Any, save: Callable[..., Path], tmp_path: Path) -> None:
    model = load(save(pooled(files)))
    with pytest.raises(UnsupportedModelError, match="only a model of fixed shapes"):
        model.to_onnx(tmp_path / "m.onnx")


def test_what_runs_in_no_shape_is_refused_at_once(files: Any, save: Callable[..., Path]) -> None:
    x = np.zeros((1, 4, 3, 3), np.float32)
    spec = files.program_spec("gelu", {"x": x}, {"mode": "UNKNOWN"}, [("float32", x.shape)])
    array = spec.description.input[0].type.multiArrayType
    for size in x.shape:
        array.shapeRange.sizeRanges.add(lowerBound=1, upperBound=size)
    with pytest.raises(UnsupportedParameter, match="UNKNOWN"):
        load(save(spec))


def test_a_default_shape_that_does_not_fit(files: Any, save: Callable[..., Path]) -> None:
    """coremltools writes the smallest shape of a range as the default one."""
    spec = pooled(files)
    spec.description.input[0].type.multiArrayType.shape[:] = [1, 4, 1, 2]
    layers = spec.neuralNetwork.layers
    layers[0].output[:] = ["normal"]
    rows = layers.add(name="rows", input=["normal"], output=["y0"])
    rows.reshapeStatic.targetShape.extend([4, 9])
    model = load(save(spec))
    x = R.standard_normal((1, 4, 3, 3)).astype(np.float32)
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
    weights = R.standard_normal((5, 4)).astype(np.float32)
    fields = {"inputChannels": 4, "outputChannels": 5, "weights": weights}
    spec = files.network_spec("innerProduct", [np.zeros((*lead, 1))], fields, [()])
    ranges = spec.description.input[0].type.multiArrayType.shapeRange.sizeRanges
    for _ in range(len(lead) + 1):
        ranges.add(lowerBound=1, upperBound=-1)
    model = load(save(spec))
    assert not isinstance(model, flexible.FlexibleModel), "one graph serves all shapes"
    x = R.standard_normal((*lead, 4)).astype(np.float32)
    np.testing.assert_allclose(model.run({"x0": x})["y0"], x @ weights.T, rtol=1e-5, atol=1e-6)


def test_a_size_that_is_a_lone_number(files: Any, save: Callable[..., Path]) -> None:
    spec = files.network_spec("squeeze", [np.float32([3])], {"squeezeAll": True}, [(3,)])
    layers = spec.neuralNetwork.layers
    layers[0].output[:] = ["size"]
    filled = layers.add(name="filled", input=["size"], output=["y0"])
    filled.fillDynamic.value = 2.0
    assert load(save(spec)).run({"x0": np.float32([3])})["y0"].tolist() == [2, 2, 2]


def test_a_scatter_of_any_number_of_rows(files: Any, save: Callable[..., Path]) -> None:
    data = R.standard_normal((5, 4)).astype(np.float32)
    inputs = {"data": data, "indices": np.int32([0]), "updates": data[:1]}
    spec = files.program_spec("scatter", inputs, {}, [("float32", (5, 4))])
    function = spec.mlProgram.functions["main"]
    for feature, given in list(zip(spec.description.input, function.inputs, strict=True))[1:]:
        ranges = feature.type.multiArrayType.shapeRange.sizeRanges
        ranges.add(lowerBound=1, upperBound=-1)
        if feature.name == "updates":
            ranges.add(lowerBound=4, upperBound=4)
        given.type.tensorType.dimensions[0].unknown.variadic = False
    model = load(save(spec))
    assert not isinstance(model, flexible.FlexibleModel), "one graph serves all shapes"
    for rows in ([3], [0, 4, 0]):
        updates = R.standard_normal((len(rows), 4)).astype(np.float32)
        wanted = data.copy()
        np.add.at(wanted, rows, updates)
        answer = model.run({"data": data, "indices": rows, "updates": updates})["y0"]
        np.testing.assert_allclose(answer, wanted, rtol=1e-5, atol=1e-6)


def open_sizes(files: Any, op: str, x: np.ndarray, fields: dict[str, Any]) -> Any:
    """An ML Program of one op from an array to one of as many dimensions, of any sizes."""
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


def test_blocks_of_any_number_and_size(files: Any, save: Callable[..., Path]) -> None:
    """As after a padding that is computed while the model runs."""
    edges = np.int32([[1, 0], [0, 3]])
    fields = {"block_shape": np.int32([2, 3]), "paddings": edges}
    x = np.zeros((1, 1, 1, 3), np.float32)
    there = load(save(open_sizes(files, "space_to_batch", x, fields)))
    fields = {"block_shape": np.int32([2, 3]), "crops": edges}
    x = np.zeros((6, 1, 1, 2), np.float32)
    back = load(save(open_sizes(files, "batch_to_space", x, fields)))
    for model in (there, back):
        assert not isinstance(model, flexible.FlexibleModel), "one graph serves all shapes"
    for shape in ((1, 1, 3, 3), (2, 5, 7, 6)):
        x = R.standard_normal(shape).astype(np.float32)
        padded = np.pad(x, [(0, 0), (0, 0), *edges])
        wanted = [padded[:, :, i::2, j::3] for i in range(2) for j in range(3)]
        cells = there.run({"x": x})["y0"]
        np.testing.assert_array_equal(cells, np.concatenate(wanted))
        np.testing.assert_array_equal(back.run({"x": cells})["y0"], x)
    with pytest.raises(FeatureError, match="fails on these inputs: .*Reshape"):
        there.run({"x": np.zeros((1, 1, 2, 3), np.float32)})


def test_a_result_that_is_returned_twice(files: Any, save: Callable[..., Path]) -> None:
    x = np.float32([[-1, 2]])
    spec = files.program_spec("relu", {"x": x}, {}, [("float32", x.shape)])
    spec.description.output.add().CopyFrom(spec.description.output[0])
    spec.mlProgram.functions["main"].block_specializations["CoreML6"].outputs.append("y0")
    assert load(save(spec)).run({"x": x})["y0"].tolist() == [[0, 2]]
    spec.description.output[1].type.multiArrayType.shape[:] = [2]
    with pytest.raises(ModelFileError, match="declares the feature 'y0' twice"):
        load(save(spec))


def test_open_sizes_need_no_translation_each(tmp_path: Path) -> None:
    """Of an ML Program by coremltools, against PyTorch and NumPy; and it becomes one ONNX file."""
    import coremltools as ct
    import torch.nn.functional as F
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil import get_new_symbol

    sizes = (1, 2, get_new_symbol(), get_new_symbol())

    @mb.program(input_specs=[mb.TensorSpec(sizes)], opset_version=ct.target.iOS15)
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
        x = R.standard_normal((1, 2, height, width)).astype(np.float32)
        given = torch.from_numpy(x)
        wanted = [
            F.interpolate(given, **how, mode="bilinear", align_corners=corners).numpy()
            for how in ({"scale_factor": (2, 3)}, {"size": (5, 3)})
            for corners in (False, True)
        ]
        wanted += [np.repeat(x, 2, -1), np.tril(x) - np.tril(x, -2)]
        answers = model.run({"x": x})
        for feature, array in zip(model.interface.outputs, wanted, strict=True):
            np.testing.assert_allclose(answers[feature.name], array, rtol=1e-4, atol=1e-5)
