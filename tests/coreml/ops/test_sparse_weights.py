"""Weights that are sparse and also quantized or palettized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arrays import Run, f16, f32, i8, u8
from pocketlens.coreml import load
from pocketlens.errors import ModelFileError

# The examples in coremltools' definitions of the ops.
MASK = u8([[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 1], [0, 1, 1, 0, 1, 0], [0, 0, 0, 1, 0, 0]])
INDICES = u8([0, 1, 1, 0, 1, 1, 0, 0, 1])


def test_palette_as_published(run_op: Run, files: Any) -> None:
    fields = {"indices_mask": files.Typed(MASK, "uint1"), "lut": f16([[[[2.0], [3.0]]]])}
    fields["indices_nonzero_data"] = files.Typed(INDICES, "uint1")
    outputs = [("uint1", (4, 6)), ("float16", (9,))]
    mask, values = run_op("constexpr_lut_to_sparse", {}, fields, outputs, "CoreML8")
    np.testing.assert_array_equal(mask, MASK)
    assert values.tolist() == [2, 3, 3, 2, 3, 3, 2, 2, 3]


def test_palette_of_vectors_as_published(run_op: Run, files: Any) -> None:
    """Each index becomes two numbers along axis 0."""
    fields = {"indices_mask": files.Typed(MASK, "uint1"), "vector_axis": 0}
    fields |= {"indices_nonzero_data": files.Typed(INDICES, "uint1")}
    fields |= {"lut": f16([[[[2.0, 2.5], [3.0, 3.5]]]])}
    outputs = [("uint1", (8, 6)), ("float16", (18,))]
    mask, values = run_op("constexpr_lut_to_sparse", {}, fields, outputs, "CoreML8")
    np.testing.assert_array_equal(mask, MASK.repeat(2, 0))
    rows: list[list[float]] = [
        [2, 3],
        [2.5, 3.5],
        [3, 2, 3],
        [3.5, 2.5, 3.5],
        [3, 2, 2],
        [3.5, 2.5, 2.5],
        [3],
        [3.5],
    ]
    assert values.tolist() == [number for row in rows for number in row]


def test_palette_by_block(run_op: Run) -> None:
    random = np.random.default_rng(61)
    mask = random.integers(0, 2, (4, 6), dtype=np.uint8)
    dense = random.integers(0, 4, (4, 6), dtype=np.uint8)
    lut = random.standard_normal((2, 3, 4, 1)).astype(np.float32)
    fields = {"indices_mask": mask, "indices_nonzero_data": dense[mask == 1], "lut": lut}
    count = int(mask.sum())
    outputs = [("uint8", (4, 6)), ("float32", (count,))]
    _, values = run_op("constexpr_lut_to_sparse", {}, fields, outputs, "CoreML8")
    wanted = [lut[i // 2, j // 2, dense[i, j], 0] for i, j in np.argwhere(mask)]
    np.testing.assert_array_equal(values, f32(wanted))


def test_scale_as_published(run_op: Run, files: Any) -> None:
    mask = u8([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0]])
    fields = {"data_mask": files.Typed(mask, "uint1"), "scale": f32([[0.1, 0.2, 0.3, 0.4]])}
    fields |= {"nonzero_data": i8([10, 11, 3, 4, 5, 6, 7, 8, 9])}
    fields |= {"offset": i8([[1, 2, 3, 4]])}
    outputs = [("uint1", (4, 4)), ("float32", (9,))]
    op = "constexpr_sparse_blockwise_shift_scale"
    given, values = run_op(op, {}, fields, outputs, "CoreML8")
    np.testing.assert_array_equal(given, mask)
    np.testing.assert_allclose(values, [0.9, 1.8, 0.2, 0.4, 0.6, 0.9, 1.2, 0.7, 1.4], rtol=1e-6)


def test_scale_without_offset(run_op: Run) -> None:
    random = np.random.default_rng(62)
    mask = random.integers(0, 2, (6, 4), dtype=np.uint8)
    dense = random.integers(-128, 128, (6, 4), dtype=np.int8)
    scale = random.uniform(0.1, 1, (2, 4)).astype(np.float16)
    fields = {"data_mask": mask, "nonzero_data": dense[mask == 1], "scale": scale}
    outputs = [("uint8", (6, 4)), ("float16", (int(mask.sum()),))]
    op = "constexpr_sparse_blockwise_shift_scale"
    _, values = run_op(op, {}, fields, outputs, "CoreML8")
    wanted = [dense[i, j] * np.float32(scale[i // 3, j]) for i, j in np.argwhere(mask)]
    np.testing.assert_array_equal(values, f16(wanted))


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"indices_nonzero_data": INDICES[:8]}, "the mask has 9 ones for 8 values"),
    ({"indices_nonzero_data": INDICES + 1}, "an index is 2; the palette has 2 entries"),
    ({"lut": f32([[2, 3]])}, "'lut' has 2 dimensions; expected 4"),
    ({"lut": f32([[[[1, 2], [3, 4]]]])}, "'vector_axis' is None for vectors with 2 numbers"),
    ({"lut": np.zeros((3, 1, 2, 1), np.float32)}, "does not divide into"),
]


@pytest.mark.parametrize(("wrong", "text"), INVALID)
def test_invalid_weights(run_op: Run, wrong: dict[str, Any], text: str) -> None:
    lut = f32([[[[2.0], [3.0]]]])
    fields = {"indices_mask": MASK, "indices_nonzero_data": INDICES, "lut": lut} | wrong
    outputs = [("uint8", (4, 6)), ("float32", (9,))]
    with pytest.raises(ModelFileError, match=text):
        run_op("constexpr_lut_to_sparse", {}, fields, outputs, "CoreML8")


@pytest.mark.parametrize("second", ["palette", "scale"])
def test_compressed_twice_by_coremltools(second: str, tmp_path: Path) -> None:
    """Pruned, then quantized or palettized, by coremltools itself."""
    import coremltools as ct
    import torch
    from coremltools.optimize import coreml as cto

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(64, 48), torch.nn.ReLU(), torch.nn.Linear(48, 4))
    traced = torch.export.export(net.eval(), (torch.rand(1, 64),)).run_decompositions({})
    target = ct.target.iOS18
    model = ct.convert(traced, convert_to="mlprogram", minimum_deployment_target=target)
    prune = cto.OptimizationConfig(cto.OpMagnitudePrunerConfig(target_sparsity=0.5))
    sparse = cto.prune_weights(model, prune)
    if second == "palette":
        config: Any = cto.OptimizationConfig(cto.OpPalettizerConfig(nbits=6, mode="uniform"))
        packed = cto.palettize_weights(sparse, config, joint_compression=True)
    else:
        config = cto.OptimizationConfig(cto.OpLinearQuantizerConfig(dtype="int8"))
        packed = cto.linear_quantize_weights(sparse, config, joint_compression=True)
    op = {"palette": "constexpr_lut_to_sparse", "scale": "constexpr_sparse_blockwise_shift_scale"}
    x = np.random.default_rng(0).standard_normal((1, 64)).astype(np.float32)
    answers = []
    for name, each in (("sparse", sparse), ("packed", packed)):
        each.save(str(tmp_path / f"{name}.mlpackage"))
        ours = load(tmp_path / f"{name}.mlpackage")
        (answer,) = ours.run({ours.inspect()["inputs"][0]["name"]: x}).values()
        answers.append(answer)
    assert op[second] in ours.inspect()["ops"]
    # The weights have 6 or 8 bits; wrongly decompressed ones would give noise of the result's size.
    assert np.abs(answers[1] - answers[0]).max() < 0.1 * np.abs(answers[0]).max()
