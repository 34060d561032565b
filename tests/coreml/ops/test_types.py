"""Every ML Program op with every type that its text allows.

The types come from coremltools' own op classes. The expected numbers are those that coremltools
computes for constant inputs (its value inference, in NumPy). Where it computes none, a narrow type
must give the same numbers as float32, which the other tests compare with formulas.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from arrays import Run
from mil_cases.typed import INPUTS, NO_CASE, VARIANTS, inputs_for
from pocketlens.errors import UnsupportedOp

NUMPY = {"fp16": "float16", "fp32": "float32"}
OPSETS = {6: "CoreML5", 7: "CoreML6", 8: "CoreML7", 9: "CoreML8"}

# What the texts of ops say whose classes declare no type domains.
TEXTS = {
    "concat": ("fp16", "fp32", "int32", "bool"),
    "stack": ("fp16", "fp32", "int32", "bool"),
    "identity": ("fp16", "fp32", "int32", "bool"),
    "einsum": ("fp16", "fp32"),
}


NOT_INFERRED = {
    "concat": "coremltools ignores interleave",
    "scatter_along_axis": "coremltools ignores the mode",
    "topk": "coremltools negates the numbers, which unsigned ones do not survive",
}


@dataclass(frozen=True)
class Row:
    """An op of one version, and a type for each of its type variables."""

    op: str
    target: int
    types: tuple[tuple[str, str], ...]
    variant: int = 0

    def __str__(self) -> str:
        kinds = "-".join(kind for _, kind in self.types) or "fixed"
        return f"{self.op}-{OPSETS[self.target]}-{kinds}-{self.variant}"

    @property
    def inputs(self) -> dict[str, Any]:
        """The declared inputs of the op, by name."""
        return dict(versions(self.op)[self.target].input_spec.input_types)


def versions(op: str) -> dict[int, Any]:
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    return {int(target): found for target, found in SSAOpRegistry.core_ops[op].items()}


def every_op() -> set[str]:
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    # coremltools registers the ops of states with its converters; see test_states.py.
    states = {"coreml_update_state", "write_state"}
    return set(SSAOpRegistry.core_ops) - {"const", "_const_symbolic"} - states


def rows_of(op: str) -> Iterator[Row]:
    """The op in each version and with each combination of types; not those that cannot be built."""
    from coremltools.converters.mil.mil import types

    before = None
    for target in OPSETS:
        found = versions(op).get(target)
        if found is None or found is before:
            continue
        before = found
        domains = {
            name: [types.builtin_to_string(each) for each in domain]
            for name, domain in found.type_domains.items()
        }
        domains = domains or ({"T": list(TEXTS[op])} if op in TEXTS else {})
        for choice in itertools.product(*domains.values()):
            row = Row(op, target, tuple(zip(domains, choice, strict=True)))
            chosen = dict(row.types)
            # coremltools requires the same type of both, although it declares two variables.
            if "blockwise" not in op or chosen["OffsetT"] == chosen["SrcT"]:
                yield row
                for number in range(len(VARIANTS.get(op, ()))):
                    yield replace(row, variant=number + 1)


def converted(value: Any, kind: str) -> Any:
    """The numbers in a type; without their sign if it has none."""
    from coremltools.converters.mil.mil import types

    array = np.asarray(value)
    if kind == "bool":
        return (array != 0)[()]
    if kind.startswith("uint"):
        array = np.abs(array)
    return array.astype(types.nptype_from_builtin(types.string_to_builtin(kind)))[()]


def arguments(row: Row) -> dict[str, Any]:
    """The op's arguments with the types of the row."""
    from coremltools.converters.mil.mil import types

    chosen = dict(row.types)
    taken: dict[str, Any] = {}
    for name, value in inputs_for(row.op, row.target, row.variant).items():
        declared = row.inputs.get(name)
        if declared is None:  # an input of another version
            continue
        variable = getattr(declared, "type_domain_id", None)
        if name in ("values", "ref_tensors"):
            taken[name] = [converted(each, chosen["T"]) for each in value]
        elif name in ("begins", "ends", "end_masks"):
            taken[name] = value
        elif variable is not None:
            taken[name] = converted(value, chosen[variable])
        elif row.op == "identity":
            taken[name] = converted(value, chosen["T"])
        elif isinstance(value, str):
            taken[name] = chosen.get(value, value)
        elif isinstance(value, (bool, int)) and declared.type_domain[0] in (
            types.bool,
            types.int32,
        ):
            taken[name] = value
        else:
            taken[name] = converted(value, types.builtin_to_string(declared.type_domain[0]))
    if row.target == 9 and "lut" in taken:  # as many entries as the indices have bits for
        entries = np.arange(1 << int(chosen["IndicesT"].removeprefix("uint")))[:, None]
        shape = (1,) * taken["indices" if "indices" in taken else "indices_mask"].ndim
        taken["lut"] = converted(entries.reshape(*shape, -1, 1) % 100, chosen["T"])
    return taken


def sub_byte(value: Any) -> str:
    """The name of an element type that NumPy does not have; empty for anything else."""
    from coremltools.converters.mil.mil import types

    metadata: Any = getattr(getattr(value, "dtype", None), "metadata", None) or {}
    return "".join(types.builtin_to_string(each) for each in metadata.values())


@dataclass(frozen=True)
class Output:
    """What coremltools infers about an output; `value` is None if it computes none."""

    kind: str
    shape: tuple[int, ...]
    value: Any


def inferred(row: Row, taken: dict[str, Any]) -> list[Output]:
    """The outputs of the op as coremltools infers them, from constant inputs where it can."""
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil._deployment_compatibility import AvailableTarget
    from coremltools.converters.mil.mil import types

    found: list[Any] = []

    def build(**given: Any) -> Any:
        results = getattr(mb, row.op)(**taken | given)
        found.extend(results if isinstance(results, (tuple, list)) else [results])
        return found[0]

    target = AvailableTarget(row.target)
    if row.op == "matmul":  # two constants may not have different types
        dtype = types.numpy_type_to_builtin_type(taken["x"].dtype)
        spec = mb.TensorSpec(taken["x"].shape, dtype=dtype)
        mb.program(input_specs=[spec], opset_version=target)(lambda x: build(x=x))
    else:
        mb.program(input_specs=[], opset_version=target)(lambda: build())
    values = [each.val for each in found]
    if row.op.startswith("constexpr"):
        results = found[0].op.materialized_val_inference()
        values = list(results) if isinstance(results, (tuple, list)) else [results]
    kinds = [types.builtin_to_string(each.dtype) for each in found]
    unsigned = any(kind[0] == "u" for _, kind in row.types)
    if row.op in NOT_INFERRED and (row.variant or (row.op == "topk" and unsigned)):
        values = [None] * len(found)
    return [
        Output(NUMPY.get(kind, kind), tuple(each.shape), value)
        for kind, each, value in zip(kinds, found, values, strict=True)
    ]


def computed(
    row: Row, taken: dict[str, Any], outputs: list[Output], run_op: Run, files: Any
) -> list[np.ndarray]:
    """The outputs of the op as Pocketlens computes them."""
    inputs: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    for name, value in taken.items():
        if name == "values":
            inputs[name] = value
        elif sub_byte(value):
            fields[name] = files.Typed(value, sub_byte(value))
        elif name in ("ref_tensors", "begins", "ends", "end_masks"):
            fields[name] = tuple(value)
        elif row.inputs[name].const or not isinstance(value, np.ndarray):
            fields[name] = value
        else:
            inputs[name] = value
    shapes = [(each.kind, each.shape) for each in outputs]
    return run_op(row.op, inputs, fields, shapes, OPSETS[row.target])


def check(row: Row, run_op: Run, files: Any) -> None:
    """Run the op of the row, and compare every output with what is expected."""
    taken = arguments(row)
    outputs = inferred(row, taken)
    answers = computed(row, taken, outputs, run_op, files)
    half = any(kind == "fp16" for _, kind in row.types)
    if any(each.value is None for each in outputs) and not row.op.startswith("random"):
        # The same numbers, as the types of the row hold them, in float32.
        wide = replace(row, types=tuple((name, as_wide(row, name)) for name, _ in row.types))
        again = {
            name: value if sub_byte(value) else converted(value, kind)
            for name, value in taken.items()
            if (kind := dict(wide.types).get(getattr(row.inputs[name], "type_domain_id", ""), ""))
        }
        expected = inferred(wide, taken | again)
        others = computed(wide, taken | again, expected, run_op, files)
        outputs = [
            Output(each.kind, each.shape, other)
            for each, other in zip(outputs, others, strict=True)
        ]
    for answer, each in zip(answers, outputs, strict=True):
        assert answer.shape == (each.shape or (1,)), row
        if each.value is not None:
            value = np.asarray(each.value).astype("uint8" if each.kind == "uint1" else each.kind)
            tolerance = 4e-3 if half else 2e-5
            np.testing.assert_allclose(
                np.asarray(answer, np.float64), value.reshape(answer.shape).astype(np.float64),
                rtol=tolerance, atol=tolerance, err_msg=str(row),
            )  # fmt: skip


def as_wide(row: Row, variable: str) -> str:
    """float32 for a type variable that allows it, else the type of the row."""
    from coremltools.converters.mil.mil import types

    domain = versions(row.op)[row.target].type_domains.get(variable, ())
    names = [types.builtin_to_string(each) for each in domain]
    return "fp32" if "fp32" in names else dict(row.types)[variable]


def refusal(row: Row) -> str:
    """What the error says if a combination is refused; empty if it runs."""
    if row.op == "resize" and ("T", "int32") in row.types and not row.variant:
        return "the op resize .* LINEAR of int32: how it is rounded is not specified"
    return ""


def check_or_refuse(row: Row, run_op: Run, files: Any) -> None:
    if refusal(row):
        with pytest.raises(UnsupportedOp, match=refusal(row)):
            check(row, run_op, files)
    else:
        check(row, run_op, files)


def test_every_op_has_inputs() -> None:
    """A new op fails this test until it has inputs of its own."""
    named = {key if isinstance(key, str) else key[0] for key in INPUTS}
    assert named | set(NO_CASE) == every_op()
    assert not named & set(NO_CASE)
    assert set(VARIANTS) <= named


SAMPLE = 160


def test_a_sample_of_ops_and_types(run_op: Run, files: Any) -> None:
    """One integer or boolean row per op if it has any, else one of another type; and some more."""
    draw = random.Random(18)
    rows = {op: list(rows_of(op)) for op in sorted(every_op() - set(NO_CASE))}
    for found in rows.values():
        draw.shuffle(found)
        found.sort(key=lambda row: any(kind[:2] == "fp" for _, kind in row.types))
    chosen = [found[0] for found in rows.values()]
    others = [row for found in rows.values() for row in found[1:]]
    chosen += draw.sample(others, SAMPLE)
    assert len(chosen) > SAMPLE + 130
    for row in chosen:
        check_or_refuse(row, run_op, files)


@pytest.mark.slow
@pytest.mark.parametrize("op", sorted(key for key in INPUTS if isinstance(key, str)))
def test_every_type_of(op: str, run_op: Run, files: Any) -> None:
    rows = list(rows_of(op))
    assert rows
    for row in rows:
        check_or_refuse(row, run_op, files)
