"""The meanings that were chosen: each has a reason and a source, and is what the op does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arrays import Run, f32, i32
from pocketlens.coreml.ops.registry import CHOICES, Dialect, ops
from pocketlens.errors import FeatureError

DIALECTS: tuple[Dialect, ...] = ("mil", "neural_network", "classic")


def test_every_choice_is_about_ops_that_run() -> None:
    for dialect in DIALECTS:
        running = {row.op for row in ops(dialect) if row.supported}
        for choice in CHOICES:
            assert set(choice.ops(dialect)) <= running, choice.meaning
            assert len(set(choice.ops(dialect))) == len(choice.ops(dialect))
    assert all(any(choice.ops(dialect) for dialect in DIALECTS) for choice in CHOICES)


def test_every_choice_has_a_reason_and_a_source() -> None:
    assert len({choice.meaning for choice in CHOICES}) == len(CHOICES)
    for choice in CHOICES:
        for text in (choice.meaning, choice.reason, choice.source):
            assert len(text.split()) >= 2
            assert not text.endswith(".")


def test_the_rows_of_ops_have_their_choices() -> None:
    rows = {(row.dialect, row.op): row for row in ops()}
    (softmax,) = rows["neural_network", "softmax"].chosen
    assert softmax.source == "coremltools issues 1714 and 2856"
    assert softmax.meaning.startswith("with 3 dimensions it runs along the last one")
    assert any("2772" in each.source for each in rows["mil", "avg_pool"].chosen)
    assert rows["mil", "relu"].chosen == ()
    listed = sum(len(row.chosen) for row in rows.values())
    assert listed == sum(len(choice.ops(each)) for choice in CHOICES for each in DIALECTS)


def test_the_table_of_the_docs_has_every_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = Path(__file__).parents[3] / "docs" / "hooks"
    monkeypatch.setattr(sys, "path", [*sys.path, str(hooks)])
    import table_pages  # type: ignore[import-not-found]

    page = table_pages.ops().replace("\\|", "|")
    for choice in CHOICES:
        assert choice.meaning in page
        assert choice.reason in page


HALVES = f32([[0.5, 1.5, 2.5, -0.5, -1.5]])
TIES = f32([[1, 3, 3, 0, 3]])

MIL_ROWS: list[tuple[str, dict[str, Any], dict[str, Any], list[tuple[str, Any]], str]] = [
    ("round", {"x": HALVES}, {}, [("float32", [[0, 2, 2, -0.0, -2]])], "CoreML5"),
    (
        "quantize", {"input": HALVES}, {"scale": np.float32(1), "output_dtype": "int8"},
        [("int8", [[0, 2, 2, 0, -2]])], "CoreML7",
    ),
    ("real_div", {"x": i32([7, -7]), "y": i32([2, 2])}, {}, [("int32", [3, -3])], "CoreML5"),
    ("floor_div", {"x": i32([7, -7]), "y": i32([2, 2])}, {}, [("int32", [3, -4])], "CoreML5"),
    ("mod", {"x": i32([7, -7]), "y": i32([3, -3])}, {}, [("int32", [1, -1])], "CoreML5"),
    ("mod", {"x": i32([7, -7]), "y": i32([-3, 3])}, {}, [("int32", [-2, 2])], "CoreML5"),
    ("mod", {"x": f32([-7]), "y": f32([3])}, {}, [("float32", [2])], "CoreML5"),
    ("pow", {"x": f32([-8]), "y": f32([0.5])}, {}, [("float32", [np.nan])], "CoreML5"),
    ("cast", {"x": f32([1.9, -1.9])}, {"dtype": "int32"}, [("int32", [1, -1])], "CoreML5"),
    ("reduce_mean", {"x": i32([[-3, -4]])}, {"axes": [1]}, [("int32", [-3])], "CoreML5"),
    (
        "add", {"x": i32([2**31 - 1]), "y": i32([1])}, {}, [("int32", [-(2**31)])], "CoreML5",
    ),
    ("reduce_argmax", {"x": TIES}, {"axis": 1}, [("int32", [1])], "CoreML5"),
    ("reduce_argmin", {"x": -TIES}, {"axis": 1}, [("int32", [1])], "CoreML5"),
    (
        "topk", {"x": TIES}, {"k": 4, "sort": False},
        [("float32", [[3, 3, 3, 1]]), ("int32", [[1, 2, 4, 0]])], "CoreML6",
    ),
    ("argsort", {"x": TIES}, {"axis": 1}, [("int32", [[1, 2, 4, 0, 3]])], "CoreML5"),
    (
        "argsort", {"x": TIES}, {"axis": 1, "ascending": True},
        [("int32", [[3, 0, 1, 2, 4]])], "CoreML5",
    ),
    ("non_zero", {"x": f32([[0, 2], [3, 0]])}, {}, [("int32", [[0, 1], [1, 0]])], "CoreML5"),
    ("gather", {"x": TIES[0], "indices": i32([-5, -4])}, {}, [("float32", [1, 3])], "CoreML5"),
    ("gather", {"x": TIES[0], "indices": i32([-5, -4])}, {}, [("float32", [1, 3])], "CoreML7"),
    (
        "scatter", {"data": f32([1, 2]), "updates": f32([5]), "indices": i32([-1])}, {},
        [("float32", [1, 7])], "CoreML5",
    ),
    (
        "one_hot", {"indices": i32([-1, 1, 2])}, {"one_hot_vector_size": 2},
        [("int32", [[0, 0], [0, 1], [0, 0]])], "CoreML5",
    ),
    (
        "resize_nearest_neighbor", {"x": f32([[[0, 1, 2, 3, 4]]])},
        {"target_size_height": 1, "target_size_width": 2}, [("float32", [[[1, 3]]])], "CoreML5",
    ),
    (
        "upsample_nearest_neighbor", {"x": f32([[[0, 1, 2]]])},
        {"scale_factor_height": 1.0, "scale_factor_width": 1.4},
        [("float32", [[[0, 0, 1, 2]]])], "CoreML5",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("op", "inputs", "fields", "expected", "opset"), MIL_ROWS)
def test_what_an_op_does(
    op: str, inputs: dict[str, Any], fields: dict[str, Any], expected: list[tuple[str, Any]],
    opset: str, run_op: Run,
) -> None:  # fmt: skip
    assert any(op in choice.ops("mil") for choice in CHOICES) or op == "floor_div"
    shapes = [(kind, np.shape(value)) for kind, value in expected]
    answers = run_op(op, inputs, fields, shapes, opset)
    for answer, (_, value) in zip(answers, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(answer, np.float64), np.asarray(value, np.float64))


LAYER_ROWS: list[tuple[str, list[np.ndarray], dict[str, Any], list[Any]]] = [
    ("round", [HALVES], {}, [[[0, 2, 2, 0, -2]]]),
    ("modBroadcastable", [f32([-7, 7]), f32([3, -3])], {}, [[2, -2]]),
    ("argMax", [TIES], {"axis": 1}, [[[1]]]),
    ("argSort", [TIES], {"axis": 1, "descending": True}, [[[1, 2, 4, 0, 3]]]),
    ("topK", [TIES], {"axis": 1, "K": 2}, [[[3, 3]], [[1, 2]]]),
    ("whereNonZero", [f32([[0, 2], [3, 0]])], {}, [[[0, 1], [1, 0]]]),
    ("gather", [f32([5, 6, 7]), f32([-1, 0])], {}, [[7, 5]]),
    ("splitND", [f32([1, 2, 3])], {"numSplits": 2}, [[1, 2], [3]]),
    ("unary", [f32([-8])], {"type": "POWER", "alpha": 0.5}, [[np.nan]]),
    ("softmax", [f32([[[1, 1]], [[5, 5]]])], {}, [[[[0.5, 0.5]], [[0.5, 0.5]]]]),
]


@pytest.mark.parametrize(("layer", "inputs", "fields", "expected"), LAYER_ROWS)
def test_what_a_layer_does(
    layer: str, inputs: list[np.ndarray], fields: dict[str, Any], expected: list[Any],
    run_layer: Run,
) -> None:  # fmt: skip
    assert any(layer in choice.ops("neural_network") for choice in CHOICES)
    answers = run_layer(layer, inputs, fields, [np.shape(each) for each in expected])
    for answer, value in zip(answers, expected, strict=True):
        np.testing.assert_allclose(answer, np.asarray(value, np.float32), rtol=1e-6)


@pytest.mark.parametrize("opset", ["CoreML5", "CoreML7"])
def test_an_index_out_of_range_is_an_error(opset: str, run_op: Run) -> None:
    with pytest.raises(FeatureError, match="fails on these inputs"):
        run_op("gather", {"x": f32([1, 2]), "indices": i32([2])}, {}, [("float32", (1,))], opset)
