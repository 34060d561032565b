"""float16 before it hurts: the ops that it spoils are named, and `mixed` keeps them in float32."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from command_line import output_of, run_command
from pocketlens.conversion import convert
from pocketlens.conversion.precision.checking import check_float16, float16_risks
from pocketlens.conversion.precision.mixed import FLOAT32_OPS_KEY, Mixed
from pocketlens.coreml import inspect, load
from pocketlens.coreml.runtime.emulation import Emulation, graph_model
from pocketlens.errors import CheckFailedError, DataError, OptionError, UnsupportedModelError
from pocketlens.recognizer import Recognizer
from sampling import sampled

random = np.random.default_rng(0)
NUMBERS = random.normal(size=(4, 8)).astype(np.float32)
NEAR = (200 + random.normal(size=(4, 64))).astype(np.float32)
PIXELS = random.integers(0, 256, (1, 3, 12, 12)).astype(np.float32)
ZEROS = np.zeros((4, 8), np.float32)


class Net(nn.Module):
    """A first and a last linear layer with a function in between."""

    def __init__(self, function: Callable[..., Tensor], wide: int = 8, last: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.first = nn.Linear(wide, 16)
        self.last = nn.Linear(16, 4) if last else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(self.function(self.first(x)))
        return result


class Plain(nn.Module):
    def __init__(self, function: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def seeded(layer: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(1)
    return layer()


def large_weights(network: Any, x: Tensor) -> Tensor:
    features = torch.relu(network.conv(x)) * 50
    result: Tensor = network.head(features.sum((2, 3)) / 1e5)
    return result


def variance(x: Tensor) -> Tensor:
    return (x * x).mean(1, keepdim=True) - x.mean(1, keepdim=True) ** 2


def attention(network: Any, x: Tensor) -> Tensor:
    logits = network.query(x) @ network.key(x).T * 60000
    result: Tensor = torch.softmax(logits, 1) @ x
    return result


class Faulty(NamedTuple):
    """A network, data, and the finding that is expected: kinds of ops one of which it names."""

    name: str
    network: Callable[[], nn.Module]
    data: NDArray[np.float32]
    fault: str
    kinds: tuple[str, ...]
    shown_here: bool = True  # false: a fault of the Neural Engine only


FAULTS = (
    Faulty("exp", lambda: Net(lambda y: torch.log(torch.exp(y * 12) + 1)), NUMBERS, "overflow",
           ("exp",)),
    Faulty("pixels", lambda: Plain(large_weights, conv=seeded(lambda: nn.Conv2d(3, 8, 3)),
                                   head=seeded(lambda: nn.Linear(8, 4))), PIXELS, "overflow",
           ("mul", "reduce_sum", "relu")),
    Faulty("layer norm", lambda: Net(lambda y: F.layer_norm(y * 1e-4, (16,), eps=1e-12)), NUMBERS,
           "constant", ("layer_norm",)),
    Faulty("variance", lambda: Plain(lambda _, x: variance(x)), NEAR, "cancellation", ("sub",)),
    Faulty("log of softmax", lambda: Net(lambda y: torch.log(torch.softmax(y * 40, 1)), last=False),
           NUMBERS, "neural engine", ("log",)),
    Faulty("softplus", lambda: Net(lambda y: F.softplus(y * 20)), NUMBERS, "neural engine",
           ("softplus",), False),
    Faulty("mish", lambda: Net(lambda y: F.mish(y * 20)), NUMBERS, "neural engine", ("softplus",),
           False),
    Faulty("log-sum-exp", lambda: Net(lambda y: torch.logsumexp(y * 8, 1), last=False), NUMBERS,
           "neural engine", ("reduce_log_sum_exp",), False),
    Faulty("hard-swish", lambda: Net(F.hardswish), NUMBERS, "neural engine", ("linear",), False),
    Faulty("hard-swish in parts", lambda: Net(lambda y: y * F.relu6(y + 3) / 6), NUMBERS,
           "neural engine", ("linear",), False),
    Faulty("argmax", lambda: Net(lambda y: y.argmax(1).float(), last=False), NUMBERS,
           "neural engine", ("reduce_argmax",), False),
    Faulty("attention", lambda: Plain(attention, query=seeded(lambda: nn.Linear(8, 16)),
                                      key=seeded(lambda: nn.Linear(8, 16))), NUMBERS, "overflow",
           ("matmul", "mul")),
    Faulty("sum", lambda: Plain(lambda _, x: (x * 30).sum((1, 2, 3), keepdim=True) / 1e4), PIXELS,
           "overflow", ("reduce_sum",)),
    Faulty("epsilon", lambda: Plain(lambda _, x: x / (x.abs().amax(1, keepdim=True) + 1e-8)), ZEROS,
           "constant", ("add",)),
    Faulty("mask", lambda: Plain(lambda _, x: torch.softmax(
        x * 0.01 + torch.tensor([-1e9] * 8), 1)), NUMBERS, "overflow", ("softmax",)),
    Faulty("root mean square", lambda: Plain(
        lambda _, x: x * torch.rsqrt((x * x).mean(1, keepdim=True) + 1e-6)), NEAR * 10, "overflow",
           ("mul",)),
    Faulty("small numbers", lambda: Net(lambda y: (y * 1e-5) * (y * 1e-5) * 1e10), NUMBERS,
           "underflow", ("mul",)),
)  # fmt: skip

CLEAN = (
    ("perceptron", lambda: Net(lambda y: torch.softmax(torch.relu(y), 1)), NUMBERS),
    ("attention", lambda: Net(lambda y: torch.softmax(y @ y.T / 4, 1) @ y), NUMBERS),
    ("sigmoid", lambda: Net(lambda y: 1 / (1 + torch.exp(-20 * y))), NUMBERS),
    ("layer norm", lambda: Net(lambda y: F.layer_norm(y, (16,), eps=1e-12)), NUMBERS),
    ("mask", lambda: Net(lambda y: torch.softmax(y + torch.tensor([-1e9] * 15 + [0.0]), 1)),
     NUMBERS),
    ("softplus", lambda: Net(F.softplus), NUMBERS),
)  # fmt: skip


def outputs(path: Path, x: NDArray[np.float32]) -> NDArray[np.float32]:
    (value,) = load(path).run({"x": x}).values()
    return np.asarray(value, np.float64)


@pytest.mark.parametrize("row", sampled([(each,) for each in FAULTS], 3), ids=lambda row: row.name)
def test_a_fault_is_named_and_mixed_mends_it(tmp_path: Path, row: Any) -> None:
    network, inputs = row.network().eval(), {"x": row.data}
    full = convert(network, tmp_path / "full", precision="float32", inputs=inputs, check=False)
    found = check_float16(full, inputs, layers=False)
    assert any(each.fault == row.fault and each.kind in row.kinds for each in found.findings), found
    mixed = convert(network, tmp_path / "mixed", precision="mixed", inputs=inputs, data=inputs)
    want, got = outputs(full, row.data), outputs(mixed, row.data)
    scale = np.abs(want).max()
    assert np.abs(want - got).max() <= 0.01 * scale
    kept = json.loads(inspect(mixed)["metadata"]["user"][FLOAT32_OPS_KEY])
    assert set(kept) == set(found.at_risk)
    assert len(kept) < found.of or found.of <= 5  # not simply all of it
    if row.shown_here:  # else only a device shows it
        half = convert(network, tmp_path / "half", inputs=inputs, check=False)
        coarse = outputs(half, row.data)
        named = check_float16(half, inputs, layers=False)
        assert not named.passed
        if row.fault != "constant" or np.isfinite(want).all():
            assert row.name == "epsilon" or not np.abs(want - coarse).max() <= 0.01 * scale


@pytest.mark.parametrize(("name", "network", "data"), sampled(CLEAN, 1))
def test_a_network_without_fault_raises_no_alarm(
    tmp_path: Path, name: str, network: Callable[[], nn.Module], data: NDArray[np.float32]
) -> None:
    path = convert(network().eval(), tmp_path / name, inputs={"x": data}, check=False)
    for given in ({"x": data}, None):
        assert str(check_float16(path, given)).startswith("float16: nothing found in ")


def test_a_recognizer_raises_no_alarm(
    tmp_path: Path, make_recognizer: Callable[..., Recognizer]
) -> None:
    from pocketlens.image import InputSpec

    recognizer = make_recognizer(InputSpec(12, 12))
    for file in ("Digits.mlpackage", "Digits.mlmodel"):
        found = check_float16(convert(recognizer, tmp_path / file))
        assert found.passed
        assert found.change < 0.01
        assert found.made_up
        assert found.layers


def test_what_is_emulated_is_what_the_file_computes(tmp_path: Path) -> None:
    network = Net(lambda y: torch.softmax(F.max_pool1d(torch.relu(y)[:, None], 1, 1)[:, 0], 1))
    for precision in ("float16", "float32"):
        path = convert(
            network.eval(), tmp_path / precision, precision=precision, inputs={"x": NUMBERS}
        )
        model = load(path)
        emulation = Emulation(graph_model(model, {"x": NUMBERS}))
        half = [each.name for each in emulation.operations if each.half]
        assert bool(half) == (precision == "float16")
        (want,) = model.run({"x": NUMBERS}).values()
        (got,) = emulation.run({"x": NUMBERS}, half).values()
        assert np.array_equal(got, want)


def test_an_op_in_a_loop_follows_the_loop(tmp_path: Path) -> None:
    class Looped(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            total = x
            for _ in range(3):
                total = total * 30
            return total / 27000

    path = convert(Looped().eval(), tmp_path / "L", precision="float32", inputs={"x": NUMBERS})
    assert check_float16(path, {"x": NUMBERS}).passed
    found = check_float16(path, {"x": NUMBERS * 10})
    assert [each.fault for each in found.findings] == ["overflow"]

    def op(name: str, outer: Any) -> Any:
        block = SimpleNamespace(outer_op=outer, outputs=())
        return SimpleNamespace(outputs=[SimpleNamespace(name=name)], enclosing_block=block)

    inside = op("y", op("loop", None))
    assert not Mixed({"loop": "why"}).in_float16(inside)
    assert Mixed({"other": "why"}).in_float16(inside)


def test_made_up_inputs_that_the_model_cannot_process_are_left_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    words = nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 2)).eval()  # made up: words up to 9
    inputs = {"input": np.array([[0, 1, 2]])}
    path = convert(words, tmp_path / "Words", inputs=inputs)
    assert check_float16(path).cases < 5
    assert check_float16(path, inputs).passed


def test_a_model_that_is_too_large_is_not_checked(tmp_path: Path) -> None:
    path = convert(Net(torch.relu).eval(), tmp_path / "N", inputs={"x": NUMBERS}, check=False)
    small = load(path)
    small._file.budget.limit = 100
    assert float16_risks(load(path), None) is not None
    assert float16_risks(small, None) is None
    with pytest.raises(UnsupportedModelError, match="too large to compare float16 with float32"):
        check_float16(small)


def test_the_range_of_each_layer_is_measured(tmp_path: Path) -> None:
    network = Net(lambda y: torch.exp(y * 12)).eval()
    path = convert(network, tmp_path / "Exp", precision="float32", inputs={"x": NUMBERS})
    found = check_float16(path, {"x": NUMBERS})
    layers = {each.kind: each for each in found.layers}
    with torch.no_grad():
        numbers = torch.exp(network.first(torch.from_numpy(NUMBERS)) * 12).numpy()
    assert math.isclose(layers["exp"].largest, numbers.max(), rel_tol=1e-4)
    assert layers["exp"].above == pytest.approx((numbers > 65504).mean())
    assert layers["exp"].drift == math.inf
    assert found.to_dict()["layers"][0]["kind"] == "linear"
    assert "Infinity" not in json.dumps(found.to_dict())


@pytest.fixture(scope="module")
def overflowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `net.pt2`, whose exponential overflows on `X.npz` and on made-up data."""
    folder = tmp_path_factory.mktemp("overflowing")
    network = Net(lambda y: torch.log(torch.exp(y * 30) + 1)).eval()
    torch.export.save(torch.export.export(network, (torch.zeros(1, 8),)), folder / "net.pt2")
    np.savez(folder / "X.npz", x=NUMBERS)
    return folder


def test_the_command_line_says_what_stays_in_float32(overflowing: Path) -> None:
    folder = overflowing
    status, _, refused = run_command("convert", folder / "net.pt2", "--out", folder / "Half")
    assert status == 1
    assert "use precision mixed or float32 (--precision mixed)" in refused
    data = ("--data", folder / "X.npz")
    mixed = folder / "Mixed.mlpackage"
    text = output_of("convert", folder / "net.pt2", "--precision", "mixed", *data, "--out", mixed)
    assert "in float32: 'exp': exp: it computes numbers up to " in text
    assert "in float32: 'log': with 'exp'" in text
    told = output_of(
        "convert", folder / "net.pt2", "--precision", "mixed", "--out", mixed, "--force", "--json"
    )
    assert set(json.loads(told)["float32_ops"]) == {"exp", "add", "log"}
    checked = json.loads(output_of("verify", folder / "net.pt2", mixed, *data, "--json"))
    assert checked["passed"]
    assert checked["float16"]["passed"]
    assert FLOAT32_OPS_KEY in output_of("inspect", mixed)

    half = folder / "Half.mlpackage"
    run_command("convert", folder / "net.pt2", "--no-check", "--out", half)
    alone = output_of("verify", half, *data)  # a risk is no failure
    assert "float16: 3 of 7 ops are at risk on your data; the outputs are not finite" in alone
    assert "exp 'exp_cast_fp16' (and with it 'add_cast_fp16', 'log_cast_fp16')" in alone
    assert "convert it again with --precision mixed, or --precision float32" in alone
    found = json.loads(output_of("verify", half, "--json"))["float16"]
    assert found["made_up"]
    assert found["findings"][0]["fault"] == "overflow"


def test_a_note_names_the_fault_of_a_file_in_float16(tmp_path: Path) -> None:
    network = Net(lambda y: F.softplus(y * 20)).eval()
    steps = {"mlpackage": "--precision mixed keeps", "mlmodel": "the device decides"}
    for suffix, step in steps.items():
        with pytest.warns(UserWarning, match="softplus '.*in the layer|softplus '") as caught:
            convert(network, tmp_path / "S", inputs={"x": NUMBERS}, format=suffix)
        (note,) = [str(each.message) for each in caught if "float16" in str(each.message)]
        assert "the Neural Engine returns 0 above 10.39" in note
        assert "https://github.com/apple/coremltools/issues/2687" in note
        assert step in note


@pytest.mark.parametrize("kind", ["onnx", pytest.param("keras", marks=pytest.mark.slow)])
def test_mixed_is_for_every_kind_of_network(tmp_path: Path, kind: str) -> None:
    if kind == "keras":
        keras = pytest.importorskip("keras")
        x = keras.Input((8,), name="x")
        exponentials = keras.ops.exp(keras.layers.Dense(16, kernel_initializer="ones")(x) * 9)
        source: Any = keras.Model(x, keras.ops.log(exponentials + 1))
    else:
        from onnx import save

        from onnx_networks import FLOAT, network, node

        source = tmp_path / "net.onnx"
        nodes = [
            node("MatMul", "x w", "/a/Output:0"),
            node("Exp", "/a/Output:0", "12"),  # names that Core ML does not have
            node("Log", "12", "y"),
        ]
        weights = {"w": np.full((8, 16), 9, np.float32)}
        save(network(nodes, [("x", FLOAT, (4, 8))], [("y", FLOAT, (4, 16))], weights), source)
    data = {"x": (np.abs(NUMBERS) / 4).astype(np.float32)}
    made = [
        convert(source, tmp_path / p, precision=p, data=data, check=p == "mixed")
        for p in ("float32", "mixed", "float16")
    ]
    cases = [{"x": row[None]} for row in data["x"]] if kind == "keras" else [data]
    for case in cases:
        want, got, _ = (np.asarray(*load(path).run(case).values()) for path in made)
        assert np.abs(want - got).max() <= 0.01 * np.abs(want).max()
    kept = json.loads(inspect(made[1])["metadata"]["user"][FLOAT32_OPS_KEY])
    assert any("it computes numbers up to" in reason for reason in kept.values())
    assert not check_float16(made[2], data).passed


def test_what_mixed_cannot_do_is_said(tmp_path: Path) -> None:
    network = Net(torch.relu).eval()
    with pytest.raises(OptionError, match="the device decides in which precision"):
        convert(network, tmp_path / "N.mlmodel", inputs={"x": NUMBERS}, precision="mixed")
    fitted = (
        pytest.importorskip("sklearn.linear_model").LinearRegression().fit(NUMBERS, NUMBERS[:, 0])
    )
    with pytest.raises(OptionError, match="this model computes with float64"):
        convert(fitted, tmp_path / "L", precision="mixed")
    with pytest.raises(UnsupportedModelError, match="expected an ML Program or a neural network"):
        check_float16(convert(fitted, tmp_path / "L"), {"input": NUMBERS[:1, :]})
    path = convert(network, tmp_path / "N", inputs={"x": NUMBERS}, check=False)
    with pytest.raises(DataError, match="do not fit the model"):
        check_float16(path, {"x": NUMBERS[:, :3]})
    hopeless = Plain(lambda _, x: torch.relu(x * 1e6) * 1e-6).eval()
    words = r"not finite; the first op that differs is 'relu'.* use precision mixed or float32"
    with pytest.raises(CheckFailedError, match=words):
        convert(hopeless, tmp_path / "H", inputs={"x": NUMBERS})
