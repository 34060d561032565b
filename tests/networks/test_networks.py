"""Architectures: shapes, parameter counts calculated by hand, errors."""

from __future__ import annotations

import pytest
import torch

from pocketlens import networks
from pocketlens.errors import RecipeError
from pocketlens.image import InputSpec
from pocketlens.networks.backbone import nothing_logit
from pocketlens.networks.classic import Classic
from pocketlens.networks.residual import Residual
from pocketlens.recipe import Choice

STRIDED = 16 * 25 + 32 * 16 * 9 + 64 * 32 * 9 + 2 * (16 + 32 + 64) + 64 * 9 * 10 + 10
RESIDUAL = (
    16 * 25 + 32 * 16 * 9 + 2 * 32 * 32 * 9 + 48 * 32 * 9 + 2 * 2 * 48 * 48 * 9
    + 2 * (3 * 32 + 5 * 48)  # batch norm
    + 2 * 48 * 12 + 12 + 48  # gate
    + 2 * 48 * 10 + 10
)  # fmt: skip
PLAIN = (
    9 * (16 + 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64)
    + 2 * 2 * (16 + 32 + 64) + 64 * 10 + 10
)  # fmt: skip
CLASSIC = 32 * 9 + 32 + 2 * (32 * 32 * 4 + 32) + 32 * 9 * 500 + 500 + 500 * 10 + 10


@pytest.mark.parametrize(
    ("name", "count"),
    [("strided", STRIDED), ("residual", RESIDUAL), ("plain", PLAIN), ("classic", CLASSIC)],
)
def test_number_of_parameters_and_shape_of_output(name: str, count: int, gray28: InputSpec) -> None:
    network = networks.build(Choice(name), gray28, 10)
    assert sum(p.numel() for p in network.parameters()) == count
    assert network.eval()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "height", "width"),
    [
        *((name, *size) for name in ("strided", "plain", "classic") for size in [(8, 8), (13, 14)]),
        *(("residual", *size) for size in [(16, 16), (17, 22)]),
        *((name, 31, 45) for name in ("strided", "plain", "classic", "residual")),
    ],
)
def test_other_input_sizes_and_colors(name: str, height: int, width: int) -> None:
    network = networks.build(Choice(name), InputSpec(height, width, "rgb"), 3)
    assert network.eval()(torch.zeros(1, 3, height, width)).shape == (1, 3)


def test_residual_ignores_polarity_brightness_and_contrast() -> None:
    torch.manual_seed(0)
    network = networks.build(Choice("residual"), InputSpec(32, 32), 5).eval()
    image = torch.rand(2, 1, 32, 32)
    answer = network(image)
    assert torch.allclose(network(1 - image), answer, atol=1e-4)
    assert torch.allclose(network(0.5 * image + 0.2), answer, atol=0.01)
    assert (network(image.flip(3)) - answer).abs().max() > 1e-3


def test_residual_runs_three_times_in_inference_and_once_in_training() -> None:
    torch.manual_seed(0)
    network = networks.build(Choice("residual"), InputSpec(48, 48), 5)
    assert isinstance(network, Residual)
    widths: list[int] = []
    network.edges.register_forward_pre_hook(
        lambda _layer, inputs: widths.append(inputs[0].shape[3])
    )
    network(torch.rand(2, 1, 48, 48))
    assert widths == [48 + 2 * 2]
    mean = network.eval()(image := torch.rand(2, 1, 48, 48))
    assert widths[1:] == [48 + 2 * 2, 48 + 2 * (2 + 8 // 2), 40 + 2 * (2 + 8 // 2)]
    outputs: list[torch.Tensor] = []
    network.head.register_forward_hook(lambda _l, _i, logits: outputs.append(logits))
    network(image)
    assert len(outputs) == 3
    assert torch.allclose(torch.stack(outputs).mean(0), mean, atol=1e-6)


def test_residual_with_one_look_runs_once() -> None:
    torch.manual_seed(0)
    network = networks.build(Choice("residual", {"looks": 1}), InputSpec(28, 28), 5).eval()
    sides: list[int] = []
    assert isinstance(network, Residual)
    network.edges.register_forward_pre_hook(lambda _l, inputs: sides.append(inputs[0].shape[3]))
    image = torch.rand(2, 1, 28, 28)
    once = network(image)
    assert sides == [28 + 2 * 2]
    network.looks = 3
    assert (network(image) - once).abs().max() > 1e-4
    with pytest.raises(RecipeError, match="network.looks must be 1 or 3; received: 2"):
        networks.build(Choice("residual", {"looks": 2}), InputSpec(28, 28), 5)


def test_residual_does_not_amplify_noise_on_an_empty_wall() -> None:
    torch.manual_seed(0)
    network = networks.build(Choice("residual"), InputSpec(32, 32), 5).eval()
    wall = torch.full((1, 1, 32, 32), 0.6)
    grainy = wall + 0.003 * torch.randn(wall.shape)
    assert (network(wall) - network(grainy)).abs().max() < 0.1


def test_residual_ignores_slow_changes_of_light_and_the_border() -> None:
    torch.manual_seed(0)
    network = networks.build(Choice("residual"), InputSpec(48, 48), 5).eval()
    wall = torch.full((1, 1, 48, 48), 0.5)
    slope = wall + torch.linspace(-0.05, 0.05, 48)
    written = wall.clone()
    written[..., 20:28, 20:28] = 0.6
    far = (network(written) - network(wall)).abs().max()
    assert (network(slope) - network(wall)).abs().max() < 0.5 * far


def test_residual_accepts_blocks_for_each_stage() -> None:
    def count(blocks: object) -> int:
        choice = Choice("residual", {"channels": [8, 8, 8], "blocks": blocks})
        return sum(p.numel() for p in networks.build(choice, InputSpec(16, 16), 2).parameters())

    one = 2 * (8 * 8 * 9 + 2 * 8)
    assert count(1) == count([1, 1]) == count(0) + 2 * one
    assert count([0, 3]) == count([3, 0]) == count(0) + 3 * one


def test_strided_ignores_its_margin() -> None:
    torch.manual_seed(0)
    network = networks.build(Choice("strided", {"margin": 3}), InputSpec(20, 20), 4).eval()
    image = torch.rand(1, 1, 20, 20)
    framed = image.clone()
    framed[..., :3] = framed[..., -3:] = framed[..., :3, :] = framed[..., -3:, :] = 0.5
    assert torch.equal(network(framed), network(image))
    framed[..., 9, 9] += 0.5
    assert not torch.equal(network(framed), network(image))


def test_even_kernels_pad_at_the_right_and_bottom_like_keras() -> None:
    network = networks.build(Choice("classic"), InputSpec(8, 8), 2)
    assert isinstance(network, Classic)
    pad = network.features[3]
    assert pad(torch.ones(1, 1, 2, 2))[0, 0].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("choice", "size", "message"),
    [
        (Choice("stridde"), 28, "network.name: unknown network 'stridde'; did you mean 'strided'"),
        (Choice("strided", {"chanels": [1]}), 28, "network.chanels is not an option of 'strided'"),
        (Choice("strided", {"channels": []}), 28, "network.channels must be a list of integers"),
        (Choice("strided", {"channels": [0]}), 28, r"from 1 to 4096; received: \[0\]"),
        (Choice("strided"), 4, "needs inputs of at least 5 × 5; received: 4 × 4"),
        (Choice("strided", {"margin": 12}), 28, "at least 29 × 29 with its margin; received: 28"),
        (
            Choice("strided", {"margin": -1}),
            28,
            "network.margin must be an .*; received: -1",
        ),
        (Choice("residual"), 15, "needs inputs of at least 16 × 16; received: 15 × 15"),
        (Choice("residual", {"channels": [8]}), 28, r"at least two integers .*; received: \[8\]"),
        (
            Choice("residual", {"blocks": -1}),
            28,
            "network.blocks must be .* from 0 to 100, .*; received: -1",
        ),
        (
            Choice("residual", {"blocks": [1, 2, 3]}),
            28,
            r"one for each of the 2 stages; received: \[1, 2, 3\]",
        ),
        (Choice("plain", {"stages": [8, 8]}), 28, r"list of lists .*; received: \[8, 8\]"),
        (Choice("plain", {"stages": [[8], []]}), 28, "network.stages must be a list of lists"),
        (Choice("plain", {"dropout": 1}), 28, "network.dropout must be from 0 .*; received: 1"),
        (Choice("plain"), 3, "with 3 stages needs inputs of at least 4 × 4; received: 3 × 3"),
        (Choice("classic"), 7, "needs inputs of at least 8 × 8; received: 7 × 7"),
        (Choice("classic", {"dropout": 1}), 28, "not an option of 'classic'; it has no options"),
    ],
)
def test_invalid_networks_are_rejected(choice: Choice, size: int, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        networks.build(choice, InputSpec(size, size), 2)


def test_nothing_is_the_answer_where_an_image_is_rather_unknown() -> None:
    """Also where the known classes are equal, so that each has a small probability."""
    known = torch.tensor([[2.0, 2.0, 2.0, 2.0], [8.0, 0.0, 0.0, 0.0]])
    for odds in (-9.0, -2.0, -0.3, -0.01):
        logits = torch.cat([known, nothing_logit(torch.full((2, 1), odds), known)], 1)
        assert logits.argmax(1).tolist() == [0, 0]
    for odds in (0.01, 0.2, 1.0, 9.0):
        unknown = torch.full((2, 1), odds)
        logits = torch.cat([known, nothing_logit(unknown, known)], 1)
        assert logits.argmax(1).tolist() == [4, 4]
        if odds > 0.15:  # log(4) / 10
            torch.testing.assert_close(logits.softmax(1)[:, 4:], unknown.sigmoid())
