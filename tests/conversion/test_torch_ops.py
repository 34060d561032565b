"""Each op of PyTorch computes the same in the Core ML file, or `convert` refuses and names it.

The normal run takes a sample of the table and each op that Pocketlens lowers itself; the whole
table is slow.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketlens.conversion import convert
from pocketlens.conversion.lowerings.arithmetic import atan2
from pocketlens.coreml import load
from pocketlens.errors import CheckFailedError, ConversionError
from pocketlens.image import InputSpec
from torch_cases import ROWS, network

SPEC = InputSpec(12, 12, "rgb", (4 / 255,), (-2.0,))
LABELS = ("a", "b", "c")

LOWERED = (
    "gelu(tanh)",
    "atan2",
    "softplus(beta=3, threshold=1)",
    "logsigmoid",
    "log_softmax(large)",
    "hardshrink(0.5)",
    "PReLU(vectors)",
    "cumsum(-2)",
    "zeros_like(truth values, float32)",
    "sdpa(float mask, scale)",
    "bucketize(right)",
    "bincount free: one_hot",
    "RMSNorm((12, 12), eps=0.5)",
    "InstanceNorm2d(statistics)",
    "Conv2d(circular)",
    "ConvTranspose2d(stride 3, uneven)",
    "Bilinear",
    "avg_pool2d(4, 3, 1, ceil)",
    "avg_pool2d(divisor_override)",
    "adaptive_avg_pool3d",
    "max_pool2d(dilation=2)",
    "interpolate(nearest, x1.3, align_corners=None, antialias=False)",
    "interpolate(nearest-exact, (5, 7), align_corners=None, antialias=False)",
    "interpolate(bilinear, x1.3, align_corners=False, antialias=False)",
    "interpolate(bilinear, (5, 7), align_corners=True, antialias=True)",
    "interpolate(bicubic, x(0.5, 1.7), align_corners=False, antialias=True)",
    "interpolate(trilinear)",
)
"""Rows of ops that Pocketlens lowers itself: these must convert and agree."""

SAMPLE = random.Random(2026).sample(sorted(set(ROWS) - set(LOWERED)), 8)


def agrees(name: str, folder: Path, kind: str) -> bool:
    """Whether the row converts; it then agrees. Otherwise an error has said why."""
    source = network(name)
    try:
        path = convert(
            source, folder / "m", format=kind, precision="float32", labels=LABELS, input_spec=SPEC
        )
    except (ConversionError, CheckFailedError) as error:
        message = str(error)
        assert " op" in message or "PyTorch cannot" in message, message
        assert not list(folder.iterdir())
        return False
    # Not the images with which `convert` compares.
    images = np.random.default_rng(7).integers(0, 256, (3, *SPEC.shape), dtype=np.uint8)
    planes = torch.from_numpy(SPEC.network_input(images))
    with torch.no_grad():
        want = torch.cat([source(plane[None]).softmax(1) for plane in planes]).numpy()
    np.testing.assert_allclose(load(path).probabilities(images), want, atol=1e-4)
    return True


@pytest.mark.parametrize("name", LOWERED)
def test_what_pocketlens_lowers_agrees(name: str, tmp_path: Path) -> None:
    assert agrees(name, tmp_path, "mlpackage")


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_of_ops(name: str, tmp_path: Path) -> None:
    agrees(name, tmp_path, "mlpackage")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlpackage", "mlmodel"])
@pytest.mark.parametrize("name", ROWS)
def test_every_op_agrees_or_is_refused(name: str, kind: str, tmp_path: Path) -> None:
    agrees(name, tmp_path, kind)


def test_atan2_on_the_axes() -> None:
    """coremltools returns 0 for y = 0 and x < 0, and NaN for 0 and 0."""
    y, x = torch.meshgrid(torch.tensor([-2.0, -0.0, 0.0, 3.0]), torch.tensor([-1.0, 0.0, 2.0]))
    np.testing.assert_allclose(atan2(y, x), torch.atan2(y, x), rtol=1e-6)
