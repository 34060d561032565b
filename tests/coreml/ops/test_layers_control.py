"""Branches and loops of neural networks, compared with Python; damaged networks."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import inspect, load
from pocketlens.coreml.ops.common import control
from pocketlens.errors import FeatureError, ModelFileError, UnsupportedOp


def builder(*inputs: str, outputs: tuple[str, ...] = ("y",), size: int = 1) -> Any:
    """coremltools' builder for a network whose inputs are arrays of `size` numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from coremltools.models import datatypes
        from coremltools.models.neural_network import NeuralNetworkBuilder

    return NeuralNetworkBuilder(
        [(name, datatypes.Array(size)) for name in inputs],
        [(name, None) for name in outputs],
        disable_rank5_shape_mapping=True,
    )


def inside(network: Any) -> Any:
    """A builder for the network inside a layer."""
    from coremltools.models.neural_network import NeuralNetworkBuilder

    return NeuralNetworkBuilder(nn_spec=network)


def number(into: Any, name: str, value: float) -> None:
    into.add_load_constant_nd(name, name, np.array([value]), [1])


def plus(into: Any, source: str, target: str, amount: float, factor: float = 1.0) -> None:
    """`target = factor * source + amount`, through a new tensor that is then copied."""
    fresh = f"{target}_fresh_{len(into.nn_spec.layers)}"
    into.add_activation(fresh, "LINEAR", source, fresh, params=[factor, amount])
    into.add_copy(f"{fresh}_copy", fresh, target)


def less(into: Any, source: str, than: float, target: str) -> None:
    into.add_less_than(target, [source], target, alpha=than)


def answer(model: Any, **inputs: Any) -> Any:
    feed = {name: np.asarray(value, np.float32).reshape(-1) for name, value in inputs.items()}
    return {name: np.squeeze(value) for name, value in model.run(feed).items()}


@pytest.mark.parametrize(
    ("condition", "taken"),
    [(1, True), (-1, True), (2e-6, True), (5e-7, False), (0, False), (-5e-7, False)],
)
def test_branch(condition: float, taken: bool, save: Callable[..., Path]) -> None:
    """The first branch runs if the condition differs from 0 by more than 1e-6."""
    top = builder("x", "c", size=1)
    layer = top.add_branch("choice", "c")
    inside(layer.branch.ifBranch).add_elementwise("a", ["x"], "y", "MULTIPLY", 10)
    inside(layer.branch.elseBranch).add_elementwise("b", ["x"], "y", "ADD", 10)
    assert answer(load(save(top.spec)), x=3, c=condition)["y"] == (30 if taken else 13)


def test_branch_without_else_copies_over(save: Callable[..., Path]) -> None:
    """A copy overwrites an outer tensor; other tensors of the branch do not exist outside."""
    top = builder("x", "c", outputs=("y", "z"))
    top.add_copy("start", "x", "y")
    layer = top.add_branch("choice", "c")
    plus(inside(layer.branch.ifBranch), "y", "y", 1, factor=100)
    top.add_activation("end", "LINEAR", "y", "z", params=[2, 0])
    model = load(save(top.spec))
    assert answer(model, x=3, c=1) == {"y": 301, "z": 602}
    assert answer(model, x=3, c=0) == {"y": 3, "z": 6}


def test_tensor_created_in_one_branch_only(save: Callable[..., Path]) -> None:
    top = builder("x", "c")
    layer = top.add_branch("choice", "c")
    inside(layer.branch.ifBranch).add_copy("a", "x", "maybe")
    top.add_copy("end", "maybe", "y")
    with pytest.raises(
        ModelFileError, match="takes 'maybe', which is neither an input nor the output"
    ):
        load(save(top.spec))


def test_sizes_that_differ_between_branches(save: Callable[..., Path]) -> None:
    top = builder("x", "c", size=2)
    top.spec.description.input[1].type.multiArrayType.shape[:] = [1]
    layer = top.add_branch("choice", "c")
    inside(layer.branch.ifBranch).add_concat_nd("a", ["x", "x", "x"], "y", axis=0)
    inside(layer.branch.elseBranch).add_copy("b", "x", "y")
    model = load(save(top.spec))
    assert answer(model, x=[1, 2], c=1)["y"].tolist() == [1, 2, 1, 2, 1, 2]
    assert answer(model, x=[1, 2], c=0)["y"].tolist() == [1, 2]


def counted(top: Any, **options: Any) -> Any:
    """y = x, and a loop over y; returns the loop layer."""
    top.add_copy("start", "x", "y")
    return top.add_loop("loop", **options)


@pytest.mark.parametrize("times", [1, 5])
def test_loop_with_a_fixed_number_of_steps(times: int, save: Callable[..., Path]) -> None:
    top = builder("x")
    plus(inside(counted(top, max_iterations=times).loop.bodyNetwork), "y", "y", 2)
    assert answer(load(save(top.spec)), x=1)["y"] == 1 + 2 * times


@pytest.mark.parametrize("times", [0, 1, 4])
def test_loop_with_the_number_of_steps_as_input(times: int, save: Callable[..., Path]) -> None:
    """The input replaces the number in the file."""
    top = builder("x", "n")
    layer = counted(top, input_name="n", max_iterations=2)
    plus(inside(layer.loop.bodyNetwork), "y", "y", 1, factor=3)
    expected = 1
    for _ in range(times):
        expected = 3 * expected + 1
    assert answer(load(save(top.spec)), x=1, n=times)["y"] == expected


@pytest.mark.parametrize(("limit", "x", "expected"), [(0, 1, 128), (0, 200, 200), (3, 1, 8)])
def test_loop_with_a_condition(
    limit: int, x: float, expected: float, save: Callable[..., Path]
) -> None:
    top = builder("x")
    layer = counted(top, max_iterations=limit, condition="go").loop
    less(inside(layer.conditionNetwork), "y", 100, "go")
    plus(inside(layer.bodyNetwork), "y", "y", 0, factor=2)
    assert answer(load(save(top.spec)), x=x)["y"] == expected


def test_condition_from_the_body(save: Callable[..., Path]) -> None:
    """A condition network without layers: the variable is an outer tensor."""
    top = builder("x")
    number(top, "go", 1)
    layer = counted(top, max_iterations=0, condition="go").loop
    body = inside(layer.bodyNetwork)
    plus(body, "y", "y", 1)
    less(body, "y", 9.5, "small")
    body.add_copy("on", "small", "go")
    assert answer(load(save(top.spec)), x=1)["y"] == 10


def stepping(x: float, *, skip: bool, leave: bool) -> tuple[float, float]:
    """The result of the network in the next test: y, and the number of complete steps."""
    y, whole = x, 0
    for _ in range(10):
        y += 1
        if leave and y > 5:
            break
        if skip and y > 3:
            continue
        whole += 1
    return y, whole


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("leave", [False, True])
def test_break_and_continue(skip: bool, leave: bool, save: Callable[..., Path]) -> None:
    """The rest of a step does not run, at whatever nesting level the step was ended."""
    top = builder("x", outputs=("y", "whole"))
    number(top, "whole", 0)
    body = inside(counted(top, max_iterations=10).loop.bodyNetwork)
    plus(body, "y", "y", 1)
    body.add_greater_than("high", ["y"], "high", alpha=5)
    body.add_greater_than("middle", ["y"], "middle", alpha=3)
    number(body, "one", 1)
    if leave:
        inner = inside(body.add_branch("leave", "high").branch.ifBranch)
        # One level deeper, followed by layers that must not run.
        inmost = inside(inner.add_branch("surely", "one").branch.ifBranch)
        inmost.add_loop_break("break")
        plus(inner, "y", "y", 1000)
    if skip:
        inside(body.add_branch("skip", "middle").branch.ifBranch).add_loop_continue("continue")
    plus(body, "whole", "whole", 1)
    model = load(save(top.spec))
    for x in (-20, 0, 2, 9):
        y, whole = stepping(x, skip=skip, leave=leave)
        assert answer(model, x=x) == {"y": y, "whole": whole}


def test_break_ends_the_inner_loop_only(save: Callable[..., Path]) -> None:
    top = builder("x", outputs=("y", "rounds"))
    number(top, "rounds", 0)
    outer = inside(counted(top, max_iterations=4).loop.bodyNetwork)
    inner = inside(outer.add_loop("inner", max_iterations=100).loop.bodyNetwork)
    plus(inner, "y", "y", 1)
    number(inner, "one", 1)
    inside(inner.add_branch("always", "one").branch.ifBranch).add_loop_break("break")
    plus(outer, "rounds", "rounds", 1)
    assert answer(load(save(top.spec)), x=0) == {"y": 4, "rounds": 4}


def test_condition_is_not_evaluated_after_a_break(save: Callable[..., Path]) -> None:
    top = builder("x", outputs=("y", "asked"))
    number(top, "asked", 0)
    layer = counted(top, max_iterations=0, condition="go").loop
    test = inside(layer.conditionNetwork)
    plus(test, "asked", "asked", 1)
    less(test, "y", 100, "go")
    body = inside(layer.bodyNetwork)
    plus(body, "y", "y", 1)
    body.add_greater_than("high", ["y"], "high", alpha=2.5)
    inside(body.add_branch("leave", "high").branch.ifBranch).add_loop_break("break")
    assert answer(load(save(top.spec)), x=0) == {"y": 3, "asked": 3}


def test_size_that_grows(save: Callable[..., Path]) -> None:
    top = builder("x", size=2)
    body = inside(counted(top, max_iterations=3).loop.bodyNetwork)
    body.add_concat_nd("longer", ["y", "x"], "longer", axis=0)
    body.add_copy("back", "longer", "y")
    assert answer(load(save(top.spec)), x=[1, 2])["y"].tolist() == [1, 2] * 4


def test_loop_that_does_not_end(save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MAX_STEPS", 100)
    top = builder("x")
    plus(inside(counted(top, max_iterations=2**64 - 1).loop.bodyNetwork), "y", "y", 1)
    path = save(top.spec)
    with pytest.raises(FeatureError, match="the loop 'loop' does not end .* after 100 steps"):
        answer(load(path), x=1)


def test_branch_that_cannot_run(save: Callable[..., Path]) -> None:
    """coremltools writes such branches for lists; they are an error only if they run."""
    top = builder("x", "c")
    top.add_copy("start", "x", "y")
    layer = top.add_branch("choice", "c")
    broken = inside(layer.branch.ifBranch)
    broken.add_reshape_static("impossible", "x", "pair", [1, 2])
    broken.add_copy("back", "pair", "y")
    model = load(save(top.spec))
    assert answer(model, x=3, c=0)["y"] == 3
    with pytest.raises(FeatureError, match=r"this branch cannot run: .*'impossible'.* \[1, 2\]"):
        answer(model, x=3, c=1)


def test_describe(save: Callable[..., Path]) -> None:
    top = builder("x")
    plus(inside(counted(top, max_iterations=2).loop.bodyNetwork), "y", "y", 2)
    assert inspect(save(top.spec))["ops"] == {"copy": 2, "loop": 1, "activation": 1}


def test_unsupported_layer_inside_a_loop(save: Callable[..., Path]) -> None:
    top = builder("x")
    body = inside(counted(top, max_iterations=2).loop.bodyNetwork)
    body.nn_spec.layers.add(name="own", input=["y"], output=["z"]).custom.className = "C"
    with pytest.raises(UnsupportedOp, match=r"needs 1 layer .*custom \(its code is in the app"):
        load(save(top.spec))


def no_count(top: Any) -> None:
    counted(top).loop.maxLoopIterations = 0


def break_outside(top: Any) -> None:
    top.add_copy("start", "x", "y")
    top.add_loop_break("break")


def condition_without_a_name(top: Any) -> None:
    layer = counted(top, max_iterations=2).loop
    less(inside(layer.conditionNetwork), "y", 100, "go")


def unknown_condition(top: Any) -> None:
    less(inside(counted(top, condition="gone").loop.conditionNetwork), "y", 100, "go")


def written_over(top: Any) -> None:
    body = inside(counted(top, max_iterations=2).loop.bodyNetwork)
    body.add_activation("over", "LINEAR", "x", "y", params=[1, 1])


def too_deep(top: Any) -> None:
    top.add_copy("start", "x", "y")
    network = top
    for _ in range(20):
        network = inside(network.add_branch("deeper", "x").branch.ifBranch)
    plus(network, "y", "y", 1)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_count, "the layer 'loop' (loop): it has neither a number of iterations nor a condi"),
        (break_outside, "the layer 'break' (loopBreak): it is not inside the body of a loop"),
        (condition_without_a_name, "it has a 'conditionNetwork' but no 'conditionVar'"),
        (unknown_condition, "its condition 'gone' is not the output of any layer"),
        (written_over, "the layer 'over' (activation): two tensors of the model have the name 'y'"),
        (too_deep, "networks are nested more than 16 deep"),
    ],
)
def test_damaged_networks(
    damage: Callable[[Any], None], words: str, save: Callable[..., Path]
) -> None:
    top = builder("x")
    damage(top)
    path = save(top.spec)
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


def test_fill_is_limited(save: Callable[..., Path]) -> None:
    """A shape from the inputs is checked before the tensor is created."""
    top = builder("x", size=2)
    top.add_fill_dynamic("fill", "x", "y", value=3.0)
    model = load(save(top.spec))
    assert answer(model, x=[2, 3])["y"].tolist() == [[3, 3, 3], [3, 3, 3]]
    for sizes in ([2**30, 2], [2**31, 2**31], [-1, 2], [-2, -2]):
        with pytest.raises(FeatureError, match=r"layer 'fill' \(fillDynamic\) would make a tensor"):
            answer(model, x=sizes)


def test_tile_is_limited(save: Callable[..., Path]) -> None:
    top = builder("x", "times")
    top.add_tile("tile", ["x", "times"], "y")
    model = load(save(top.spec))
    assert answer(model, x=[5], times=[3])["y"].tolist() == [5, 5, 5]
    for times in (2**30, 1e18):
        with pytest.raises(FeatureError, match="would make a tensor with a negative size"):
            answer(model, x=[5], times=[times])


def test_range_is_limited(save: Callable[..., Path]) -> None:
    top = builder("x", size=1)
    top.add_range_dynamic("range", ["x"], "y", start=0.0, step=1.0)
    model = load(save(top.spec))
    assert answer(model, x=[4])["y"].tolist() == [0, 1, 2, 3]
    for end in (2**31, 1e30, np.inf):
        with pytest.raises(FeatureError, match="would make a tensor with a negative size"):
            answer(model, x=[end])
