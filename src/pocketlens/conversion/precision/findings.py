"""What float16 does to a model: `Float16Check`, with a `Float16Finding` for each op to blame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

__all__ = ["Fault", "Float16Check", "Float16Finding", "LayerRange", "change_text"]

Fault: TypeAlias = Literal[
    "overflow", "underflow", "constant", "cancellation", "rounding", "order", "neural engine"
]

SHOWN = 8
"""How many findings the text lists."""


@dataclass(frozen=True)
class Float16Finding:
    """An op that computes something else in float16 than in float32.

    Args:
        op: Its name in the Core ML file: of an ML Program that of its first output, of a neural
            network that of the layer.
        kind: Its kind, such as `exp`.
        fault: `overflow` (a number above 65,504 becomes infinite, or a result is not a number),
            `underflow` (a number becomes 0), `constant` (a constant becomes 0 or infinite),
            `cancellation` (large numbers whose difference is small), `rounding`, `order` (numbers
            become equal, and another one is the largest), or `neural engine` (a published fault of
            Apple's Neural Engine, which does not happen here).
        smallest: The smallest number that it takes or computes, in float32.
        largest: The largest one.
        change: By how much the model's outputs change if only this op computes in float16, as a
            share of the largest number, of probabilities as a difference; infinite if one is no
            longer a number. None for what happens on a device only.
        text: What goes wrong, in a sentence.
        place: The layer and the line of the source, if they are known.
        source: Where the fault is published, of the Neural Engine's.
        others: Further ops that have to compute in float32 with it, because they take what it
            computes, or compute what it takes.
    """

    op: str
    kind: str
    fault: Fault
    smallest: float
    largest: float
    change: float | None
    text: str
    place: str = ""
    source: str = ""
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = [f"'{name}'" for name in self.others]
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        with_others = f" (and with it {shown})" if names else ""
        found = f"{self.kind} '{self.op}'{self.place}{with_others}: {self.text}"
        return f"{found}; see {self.source}" if self.source else found

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of strings and numbers for JSON; an infinite number is None."""
        return _finite(asdict(self)) | {
            "others": list(self.others),
            "not_finite": self.change == math.inf,
        }


@dataclass(frozen=True)
class LayerRange:
    """What an op computes on the data, in float32 and in float16.

    Args:
        op: Its name in the Core ML file.
        kind: Its kind.
        smallest: Its smallest result in float32.
        largest: Its largest result.
        above: The share of its results above 65,504, which become infinite in float16.
        zeroed: The share of its results that are not 0 but become 0 in float16.
        drift: The largest difference between float32 and float16, all ops before it in float16,
            too, as a share of the largest number; infinite if one is not finite.
    """

    op: str
    kind: str
    smallest: float
    largest: float
    above: float
    zeroed: float
    drift: float


@dataclass(frozen=True)
class Float16Check:
    """How float16 changes what a Core ML file computes, against float32.

    Args:
        ops: How many ops compute in float16, or would.
        of: How many ops compute with floating-point numbers.
        cases: On how many images or arrays the file ran.
        made_up: Whether these were made up.
        change: By how much its outputs change, see `Float16Finding`.
        findings: The ops to blame, in the order in which they run.
        layers: The range of each op, if asked for.
    """

    ops: int
    of: int
    cases: int
    made_up: bool
    change: float
    findings: tuple[Float16Finding, ...]
    layers: tuple[LayerRange, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def at_risk(self) -> dict[str, str]:
        """The names of all ops that should compute in float32, each with the reason."""
        found = {}
        for each in self.findings:
            found[each.op] = f"{each.kind}: {each.text}"
            found |= {name: f"with '{each.op}'" for name in each.others if name not in found}
        return found

    def __str__(self) -> str:
        data = "made-up data" if self.made_up else "your data"
        if self.passed:
            return f"float16: nothing found in {self.ops} ops on {data}"
        count = len(self.at_risk)
        measured = any(each.change is not None for each in self.findings)
        head = f"float16: {count} of {self.ops} ops {'is' if count == 1 else 'are'} at risk on "
        head += f"{data}" + (f"; the outputs {change_text(self.change)}" if measured else "")
        rows = [f"  {each}" for each in self.findings[:SHOWN]]
        if len(self.findings) > SHOWN:
            rows.append(f"  … {len(self.findings) - SHOWN} more; all are in the output of --json")
        return "\n".join([head, *rows])

    def summary(self, *, mixed: bool) -> str:
        """What was found, in a sentence, with the next step; `mixed` if that is possible."""
        some = "; ".join(map(str, self.findings[:2]))
        more = len(self.findings) - 2
        others = f"; and {more} more" if more > 0 else ""
        step = (
            "--precision mixed keeps what needs it in float32"
            if mixed
            else "in a NeuralNetwork, the device decides what it computes in float16; an ML "
            "Program says it: --format mlpackage --precision mixed"
        )
        data = "made-up data" if self.made_up else "your data"
        return f"float16 is too coarse or too small on {data} for {some}{others}; {step}"

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of lists, strings and numbers for JSON; an infinite number is None."""
        return {
            "passed": self.passed,
            **_finite({"ops": self.ops, "of": self.of, "cases": self.cases}),
            "made_up": self.made_up,
            **_finite({"change": self.change}),
            "findings": [each.to_dict() for each in self.findings],
            "layers": [_finite(asdict(each)) for each in self.layers],
        }


def change_text(change: float) -> str:
    """What the outputs do: they change by so much, or are not finite."""
    return "are not finite" if change == math.inf else f"change by up to {100 * change:.2g} %"


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }
