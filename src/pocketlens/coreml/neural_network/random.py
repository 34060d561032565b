"""Random numbers."""

from __future__ import annotations

from pocketlens.coreml.table import unsupported

unsupported(
    "neural_network",
    "random numbers cannot be held against the device",
    *("randomNormalLike", "randomNormalStatic", "randomNormalDynamic"),
    *("randomUniformLike", "randomUniformStatic", "randomUniformDynamic"),
    *("randomBernoulliLike", "randomBernoulliStatic", "randomBernoulliDynamic"),
    *("categoricalDistribution",),
)
