"""`convert` compares the file with its source before it is written."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketlens.conversion import (
    SourceOptions,
    checking,
    convert,
    lowerings,
    open_source,
    torch_source,
)
from pocketlens.coreml import load
from pocketlens.errors import CheckFailedError, ConversionError, UnsupportedOp
from pocketlens.image import InputSpec

SPEC = InputSpec(12, 12, "rgb", (4 / 255,), (-2.0,))
OPTIONS: dict[str, Any] = {"labels": ["a", "b", "c"], "input_spec": SPEC}
FORMATS = ("mlpackage", "mlmodel")


class Net(nn.Module):
    """A convolution, the op, a linear layer."""

    def __init__(self, op: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.middle = Middle(op)
        with torch.no_grad():
            size = self.middle(self.first(torch.zeros(1, 3, 12, 12))).numel()
        self.last = nn.Linear(size, 3)
        with torch.no_grad():
            self.last.weight.mul_(3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.middle(self.first(x)).flatten(1))
        return logits


class Middle(nn.Module):
    def __init__(self, op: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


@contextmanager
def without_lowering(op: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within: coremltools converts the op, wrongly."""
    with monkeypatch.context() as patch:
        patch.delitem(lowerings.LOWERINGS, op)
        yield


WRONG: dict[str, tuple[Callable[[Tensor], Tensor], Any]] = {
    "rms_norm": (
        lambda x: F.rms_norm(x, (12,), eps=1e-1),
        torch.ops.aten.rms_norm.default,
    ),
    "softplus": (lambda x: F.softplus(x, 3.0, 1.0), torch.ops.aten.softplus.default),
    "upsample_nearest2d": (
        lambda x: F.interpolate(x, scale_factor=1.3),
        torch.ops.aten.upsample_nearest2d.vec,
    ),
}


@pytest.mark.parametrize("precision", ["float16", "float32"])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_wrong_op_is_named_and_nothing_is_written(
    kind: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    op, target = WRONG["rms_norm"]
    with (
        without_lowering(target, monkeypatch),
        pytest.raises(CheckFailedError) as caught,
    ):
        convert(Net(op), tmp_path / "m", format=kind, precision=precision, **OPTIONS)
    assert "the first op that differs is 'rms_norm' in the layer 'middle' (Middle), line " in str(
        caught.value
    )
    assert ": return self.op(x); nothing" in str(caught.value)
    assert "nothing was written" in str(caught.value) and "--no-check" in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["softplus", "upsample_nearest2d"])
def test_other_wrong_ops_are_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    op, target = WRONG[name]
    with (
        without_lowering(target, monkeypatch),
        pytest.raises(CheckFailedError, match=f"'{name}' in the layer 'middle'"),
    ):
        convert(Net(op), tmp_path / "m", precision="float32", **OPTIONS)


def test_the_check_can_be_turned_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    op, target = WRONG["rms_norm"]
    with without_lowering(target, monkeypatch):
        path = convert(Net(op), tmp_path / "m", check=False, **OPTIONS)
    assert load(path).classes == ("a", "b", "c")


def test_a_file_that_cannot_run_here_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise UnsupportedOp(f"{path}: the op 'conv' is not supported")

    monkeypatch.setattr(checking, "opened", refuse)
    with pytest.raises(CheckFailedError, match=r"cannot run here, .*: the op 'conv' is not"):
        convert(Net(F.relu), tmp_path / "m", **OPTIONS)
    assert not list(tmp_path.iterdir())


class Sharp(nn.Module):
    """Rounds a sum: its outputs jump where a rounding error decides."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(432, 432)
        self.last = nn.Linear(432, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.round(self.first(x.flatten(1)) * 1e5) % 2
        logits: Tensor = self.last(y)
        return logits


def test_an_honest_network_that_amplifies_rounding_is_written(tmp_path: Path) -> None:
    assert convert(Sharp(), tmp_path / "m", precision="float32", **OPTIONS).exists()


def test_an_honest_float16_drift_is_a_note(tmp_path: Path) -> None:
    last = nn.Linear(432, 3)
    network = nn.Sequential(nn.Flatten(), last)
    with torch.no_grad():
        last.bias.add_(300)  # where float16 has steps of 0.25
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert(network, tmp_path / "exact", precision="float32", **OPTIONS)
    with pytest.warns(UserWarning, match="rounding to float16 changes the probabilities of .* im"):
        convert(network, tmp_path / "m", **OPTIONS)


def test_values_beyond_float16_are_refused(tmp_path: Path) -> None:
    network = Net(lambda x: (1e4 * x) ** 2 / 1e8)
    with pytest.raises(CheckFailedError, match=r"float16 is too small for this network: .* first"):
        convert(network, tmp_path / "m", **OPTIONS)
    assert not list(tmp_path.iterdir())
    assert convert(network, tmp_path / "m", precision="float32", **OPTIONS).exists()


class Random(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) + torch.rand(1, 3)


def test_a_network_with_random_outputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises((CheckFailedError, ConversionError)):
        convert(Random(), tmp_path / "m", **OPTIONS)
    assert not list(tmp_path.iterdir())


def test_the_network_is_the_same_after_the_check(tmp_path: Path) -> None:
    network = Sharp()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch_source.disturbed(network, 0):
        assert not torch.equal(network.first.weight, before["first.weight"])
        torch.testing.assert_close(network.first.weight, before["first.weight"])
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


class Subtracting(nn.Module):
    """A bias that is subtracted, as some write batch normalization; coremltools negates it."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 4, 3, bias=False), nn.Linear(4, 3)
        self.register_buffer("mean", torch.rand(1, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(torch.relu(self.first(x) - self.mean).mean((2, 3)))
        return logits


def test_the_network_is_the_same_after_the_conversion(tmp_path: Path) -> None:
    network = Subtracting()
    source = open_source(network, SourceOptions(labels=("a", "b", "c"), input_spec=SPEC))
    assert isinstance(source, torch_source.TorchSource)
    convert(source, tmp_path / "m", precision="float32")
    for name, value in source.network.state_dict().items():
        assert torch.equal(value, network.state_dict()[name])


class Scaling(nn.Module):
    """Scales pixels in its own way, then a linear layer."""

    def __init__(self, scaling: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.scaling = scaling
        self.last = nn.Linear(432, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.scaling(x).flatten(1))
        return logits


def norm_of(mean: float) -> nn.Module:
    norm = nn.BatchNorm2d(3)
    assert norm.running_mean is not None
    norm.running_mean.fill_(mean)
    return norm


@pytest.mark.parametrize(
    ("scaling", "op"),
    [
        (lambda x: x / 255, "div"),
        (lambda x: (x.float() - 127.5) / 127.5, "sub"),
        (lambda x: x * (1 / 255) - 0.5, "mul"),
        (lambda x: x - torch.tensor([123.7, 116.8, 103.9]).reshape(1, 3, 1, 1), "sub"),
        (norm_of(120.0), "batch_norm"),
        (norm_of(0.5), None),
        (lambda x: (x - 0.5) / 0.25, None),  # expects numbers from 0 to 1
    ],
)
def test_scaling_twice_is_a_warning(
    scaling: Callable[[Tensor], Tensor], op: str | None, tmp_path: Path
) -> None:
    def messages(spec: InputSpec) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            convert(
                Scaling(scaling), tmp_path / "m", precision="float32", labels=["a", "b", "c"],
                input_spec=spec, force=True,
            )  # fmt: skip
        return [str(each.message) for each in caught if "twice" in str(each.message)]

    found = messages(InputSpec(12, 12, "rgb"))  # scale 1/255
    assert len(found) == (op is not None)
    assert op is None or f"scales pixels itself, at op '{op}'" in found[0]
    assert not messages(InputSpec(12, 12, "rgb", (1.0,)))


def test_indices_of_equal_values_are_a_warning(tmp_path: Path) -> None:
    distinct = torch.linspace(0, 1e-3, 12)
    with pytest.warns(UserWarning, match="uses the indices of 'topk'.* does not define their ord"):
        convert(
            Net(lambda x: (x + distinct).topk(3, 3)[1].float()),
            tmp_path / "m", precision="float32", check=False, **OPTIONS,
        )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert(Net(lambda x: x.topk(3, 3)[0]), tmp_path / "n", precision="float32", **OPTIONS)
