"""`Choice`: a meaning that Apple's text leaves open, or that a device has against the text."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NO_TEXT", "NUMPY", "SIMPLEST", "TESTS", "Choice"]


@dataclass(frozen=True)
class Choice:
    """A meaning that was chosen, for one or more ops.

    Attributes:
        meaning: What the op does here.
        reason: Why it was open.
        source: What decided: an issue, a test, a formula.
        mil, neural_network, classic: The names of the ops, with spaces in between.
    """

    meaning: str
    reason: str
    source: str
    mil: str = ""
    neural_network: str = ""
    classic: str = ""

    def ops(self, dialect: str) -> list[str]:
        """The names of the ops of a dialect."""
        return str(getattr(self, dialect)).split()


NO_TEXT = "the text does not say"
TESTS = "coremltools' own tests"
NUMPY = "coremltools' value inference, which is NumPy"
SIMPLEST = "the simplest rule; nobody has reported what a device does"
