"""What a network's outputs are is read from its graph, not guessed from their values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pocketlens.conversion import convert
from pocketlens.conversion.endings import ending_of
from pocketlens.conversion.exporting import export
from pocketlens.coreml import load
from pocketlens.errors import ConversionError, OptionError
from pocketlens.image import InputSpec

SPEC = InputSpec(6, 6)


class Ended(nn.Module):
    """A linear layer, and an end."""

    def __init__(self, end: Callable[[Tensor], Tensor], outputs: int = 3, size: float = 3) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.last = nn.Linear(36, outputs)
        with torch.no_grad():
            self.last.weight.mul_(size)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.last(x.flatten(1)))


def unit_interval() -> nn.Module:
    """Logits near 0.1, 0.2, 0.3."""
    network = Ended(lambda z: z, size=0.001)
    network.last.bias.data = torch.tensor([0.1, 0.2, 0.3])
    return network


def sums_to_one() -> nn.Module:
    """Logits in [0, 1] that sum to 1 for every image."""
    network = unit_interval()
    assert isinstance(network, Ended)
    with torch.no_grad():
        network.last.weight.sub_(network.last.weight.mean(0))
        network.last.bias.copy_(torch.tensor([0.2, 0.3, 0.5]))
    return network


def logits_head(z: Tensor) -> Tensor:
    return z.softmax(1)


def same(z: Tensor) -> Tensor:
    return z


CASES: dict[str, tuple[Callable[[], nn.Module], str, str, Callable[[Tensor], Tensor]]] = {
    "logits": (lambda: Ended(same), "abc", "linear", logits_head),
    "logits in [0, 1]": (unit_interval, "abc", "linear", logits_head),
    "logits that sum to 1": (sums_to_one, "abc", "linear", logits_head),
    "logits / 2 + 1": (lambda: Ended(lambda z: z / 2 + 1), "abc", "linear", logits_head),
    "softmax": (lambda: Ended(lambda z: z.softmax(1)), "abc", "softmax", same),
    "softmax, permuted": (
        lambda: Ended(lambda z: z.softmax(1)[:, [2, 0, 1]]), "abc", "softmax", same,
    ),
    "softmax of a map": (
        lambda: Ended(lambda z: z[:, :, None, None].softmax(1).flatten(1)), "abc", "softmax", same,
    ),
    "mean of two softmaxes": (
        lambda: Ended(lambda z: (z.softmax(1) + (2 * z).softmax(1)) / 2), "abc", "normalized", same,
    ),
    "exp / sum": (
        lambda: Ended(lambda z: z.exp() / z.exp().sum(1, True)), "abc", "normalized", same,
    ),
    "log_softmax": (lambda: Ended(lambda z: z.log_softmax(1)), "abc", "log_softmax", logits_head),
    "log of softmax": (
        lambda: Ended(lambda z: z.softmax(1).log()), "abc", "log_softmax", logits_head,
    ),
    "two logits": (lambda: Ended(same, 2), "ny", "linear", logits_head),
    "one logit in [0, 1]": (
        lambda: Ended(same, 1, 0.001), "ny", "linear",
        lambda z: torch.cat([1 - z.sigmoid(), z.sigmoid()], 1),
    ),
    "one sigmoid": (
        lambda: Ended(torch.sigmoid, 1), "ny", "sigmoid", lambda z: torch.cat([1 - z, z], 1),
    ),
    "1 - p, p": (
        lambda: Ended(lambda z: torch.cat([1 - z.sigmoid(), z.sigmoid()], 1), 1), "ny",
        "normalized", same,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_ending_of_a_network(name: str) -> None:
    make, _, ending, _ = CASES[name]
    assert ending_of(export(make().eval(), SPEC)) == ending


@pytest.mark.parametrize(
    "name",
    ["logits in [0, 1]", "logits that sum to 1", "softmax, permuted", "log_softmax", "1 - p, p",
     "one logit in [0, 1]"],
)  # fmt: skip
def test_the_file_gives_the_probabilities(name: str, tmp_path: Path) -> None:
    make, labels, _, formula = CASES[name]
    network = make().eval()
    path = convert(network, tmp_path / "m", labels=list(labels), input_spec=SPEC)
    images = np.random.default_rng(3).integers(0, 256, (5, 6, 6, 1), dtype=np.uint8)
    with torch.no_grad():
        want = formula(network(torch.from_numpy(SPEC.network_input(images)))).numpy()
    np.testing.assert_allclose(load(path).probabilities(images), want, atol=5e-3)


@pytest.mark.parametrize(
    ("end", "outputs", "text"),
    [
        (lambda z: z.softmax(0), 3, "a softmax, but its outputs do not sum to 1"),
        (lambda z: z.softmax(1) / 2, 3, "ops after a softmax, .* do not sum to 1"),
        (torch.sigmoid, 3, "a sigmoid for each of 3 classes"),
        (lambda z: torch.sigmoid(z / 1000), 3, "a sigmoid for each of 3 classes"),
        (lambda z: z.relu() / (z.relu().sum(1, True) + 1e-9), 3, "an unknown activation and ret"),
    ],
    ids=["other axis", "temperature afterwards", "sigmoids", "sigmoids near 1/2", "shares"],
)
def test_what_is_not_clear_must_be_said(
    end: Callable[[Tensor], Tensor], outputs: int, text: str, tmp_path: Path
) -> None:
    network = Ended(end, outputs)
    options: dict[str, Any] = {"labels": list("abc"), "input_spec": SPEC}
    with pytest.raises(ConversionError, match=f"{text}.*head='logits' or head='probabilities'"):
        convert(network, tmp_path / "m", **options)
    assert convert(network, tmp_path / "m", head="logits", **options).exists()


def test_two_sigmoids_near_one_half_do_not_count_as_probabilities(tmp_path: Path) -> None:
    network = Ended(lambda z: torch.sigmoid(z / 1000), 2)  # their sum is 1.000 for all images
    with pytest.raises(ConversionError, match="a sigmoid for each of 2 classes"):
        convert(network, tmp_path / "m", labels=["n", "y"], input_spec=SPEC)


def test_a_head_that_is_not_known_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="head 'logit' is not known; did you mean 'logits'"):
        convert(Ended(same), tmp_path / "m", labels=list("abc"), input_spec=SPEC, head="logit")
