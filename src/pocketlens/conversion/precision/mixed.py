"""The precision of a conversion: float32, float16, or float16 with some ops in float32."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = ["FLOAT32_OPS_KEY", "Mixed", "Precision", "compute_precision", "kept_ops"]

FLOAT32_OPS_KEY = "org.pocketlens.float32_ops"
"""The key, in the user-defined metadata, of the ops that `mixed` keeps in float32: a JSON object,
name -> reason."""


@dataclass(frozen=True)
class Mixed:
    """float16, except for some ops.

    Args:
        reasons: The names of the ops that compute in float32, as in a file converted in float32,
            each with the reason.
        outputs: Those of them that compute outputs of the model; coremltools renames these.
    """

    reasons: Mapping[str, str] = field(default_factory=dict)
    outputs: frozenset[str] = frozenset()
    _seen: set[str] = field(default_factory=set, init=False, compare=False)

    def in_float16(self, op: Any) -> bool:
        """Whether an op of coremltools may compute in float16; one in a loop follows the loop."""
        while op is not None:
            names = {_plain(each.name) for each in op.outputs}.intersection(self.reasons)
            self._seen.update(names)
            block = op.enclosing_block
            outer = None if block is None else block.outer_op
            if names or (self.outputs and outer is None and _ends(op, block)):
                return False
            op = outer
        return True

    def describe(self, spec: Any) -> None:
        """Write the ops and the reasons to a `Model` message."""
        kept = {
            name: reason
            for name, reason in self.reasons.items()
            if name in self._seen or name in self.outputs
        }
        if kept:
            text = json.dumps(kept, ensure_ascii=False)
            spec.description.metadata.userDefined[FLOAT32_OPS_KEY] = text


Precision: TypeAlias = Literal["float16", "float32"] | Mixed


def compute_precision(ct: Any, precision: Precision) -> Any:
    """The precision in terms of coremltools."""
    if isinstance(precision, Mixed):
        return ct.transform.FP16ComputePrecision(op_selector=precision.in_float16)
    return ct.precision.FLOAT16 if precision == "float16" else ct.precision.FLOAT32


def kept_ops(metadata: Mapping[str, str]) -> dict[str, str]:
    """The ops that a file keeps in float32 and why, from its user-defined metadata."""
    try:
        found = json.loads(metadata.get(FLOAT32_OPS_KEY, "{}"))
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _ends(op: Any, block: Any) -> bool:
    """Whether an op computes an output of its block, perhaps with casts after it."""
    for result in () if block is None else block.outputs:
        while result.op is not None and result.op is not op and result.op.op_type == "cast":
            result = result.op.x
        if result.op is op:
            return True
    return False


def _plain(name: str) -> str:
    """A name as coremltools writes it to a file in float32."""
    plain = re.sub(r"\W", "_", name.removesuffix("_type_fp32"), flags=re.ASCII)
    return f"var_{plain}" if re.match(r"\d", plain) else plain
