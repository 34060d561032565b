"""Models from arrays to arrays: converted, checked, and compared on data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from command_line import error_of, output_of, run_command
from pocketlens.conversion import convert
from pocketlens.conversion.torch_arrays import TorchArrays
from pocketlens.conversion.verifying import verify_arrays
from pocketlens.coreml import load
from pocketlens.errors import CheckFailedError, ConversionError, DataError, OptionError
from pocketlens.evaluation.array_files import load_arrays
from pocketlens.evaluation.arrays import ArrayInput


class Tokens(nn.Module):
    """Two inputs, one of them numbers of words; two outputs by name."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(10, 4)
        self.mixed = nn.Linear(7, 5)

    def forward(self, ids: Tensor, x: Tensor) -> dict[str, Tensor]:
        y = torch.relu(self.mixed(torch.cat([self.words(ids), x], -1)))
        return {"mean": y.mean(1), "all": y}


INPUTS = [np.zeros((1, 6), np.int64), np.zeros((1, 6, 3), np.float32)]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(Tokens(), tmp_path_factory.mktemp("arrays") / "Tokens", inputs=INPUTS)


def rows(count: int) -> dict[str, Any]:
    random = np.random.default_rng(3)
    x = random.normal(size=(count, 6, 3)).astype(np.float32)
    return {"ids": random.integers(0, 10, (count, 6)), "x": x}


def test_inputs_and_outputs_have_the_names_of_the_source(converted: Path) -> None:
    model = load(converted)
    assert [(each.name, each.dtype, each.shape) for each in model.interface.inputs] == [
        ("ids", "int32", (1, 6)),
        ("x", "float32", (1, 6, 3)),
    ]
    assert [each.name for each in model.interface.outputs] == ["mean", "all"]
    given = rows(1)
    with torch.no_grad():
        want = Tokens()(torch.from_numpy(given["ids"]), torch.from_numpy(given["x"]))
    got = model.run(given)
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value.numpy(), atol=5e-3)


@pytest.mark.parametrize("kind", ["made up", "mapping", "npz", "folder of npz", "folder of npy"])
def test_verify_compares_on_arrays(kind: str, converted: Path, tmp_path: Path) -> None:
    data: Any = {"made up": None, "mapping": rows(5)}.get(kind, tmp_path)
    if kind == "npz":
        data = tmp_path / "rows.npz"
        np.savez_compressed(data, **rows(5))
    elif kind == "folder of npz":
        np.savez(tmp_path / "1.npz", **rows(3))
        np.savez(tmp_path / "2.npz", **rows(2))
    elif kind == "folder of npy":
        for name, array in rows(5).items():
            np.save(tmp_path / f"{name}.npy", array)
    found = verify_arrays(Tokens(), converted, data, inputs=INPUTS)
    assert found.passed and [each.name for each in found.outputs] == ["mean", "all"]
    assert found.made_up == (data is None) and (found.made_up or found.cases == 5)
    assert all(0 < each.mean <= each.worst < 0.01 for each in found.outputs)
    assert not verify_arrays(Tokens(), converted, data, inputs=INPUTS, tolerance=1e-7).passed


def test_another_model_does_not_pass(converted: Path) -> None:
    other = Tokens()
    with torch.no_grad():
        other.mixed.bias[2] += 1
    found = verify_arrays(other, converted, rows(3), inputs=INPUTS)
    assert found.differing == ("mean", "all")
    assert found.note.startswith("the first op that differs is ") and "'mixed'" in found.note
    assert str(found).startswith("parity FAILED in 3 runs on your data\noutput  largest diff")


def test_one_row_more_is_not_taken(converted: Path) -> None:
    given = rows(2)
    with pytest.raises(DataError, match=r"expected ids \(1, 6\), x \(1, 6, 3\); received: ids"):
        verify_arrays(Tokens(), converted, {"ids": given["ids"][:, :5], "x": given["x"]},
                      inputs=INPUTS)  # fmt: skip
    with pytest.raises(DataError, match="expected one array for each input of the model: ids, x"):
        verify_arrays(Tokens(), converted, {"x": given["x"]}, inputs=INPUTS)


@pytest.mark.parametrize("precision", ["float16", "float32"])
@pytest.mark.parametrize("kind", ["mlpackage", "mlmodel"])
def test_regression_and_classes(kind: str, precision: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    options: dict[str, Any] = {"inputs": [np.zeros((1, 4))]}
    plain = convert(network, tmp_path / "p", format=kind, precision=precision, **options)
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    with torch.no_grad():
        want = network(torch.from_numpy(x))
    got = np.concatenate([load(plain).run({"input": row[None]})["output"] for row in x])
    np.testing.assert_allclose(got, want.numpy(), atol=5e-3 if precision == "float16" else 1e-5)
    options["labels"] = ["a", "b", "c"]
    named = convert(network, tmp_path / "n", format=kind, precision=precision, **options)
    results = [load(named).run({"input": row[None]}) for row in x]
    assert [each["classLabel"] for each in results] == ["abc"[i] for i in want.argmax(1).tolist()]
    found = verify_arrays(network, named, {"x": x}, **options)
    assert found.passed and found.outputs[0].equal == 1.0


def test_a_wrong_file_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = TorchArrays._named

    def wrong(self: TorchArrays, outputs: Any) -> Any:
        return {name: value + 0.5 for name, value in original(self, outputs).items()}

    monkeypatch.setattr(TorchArrays, "_named", wrong)
    for precision in ("float16", "float32"):
        with pytest.raises(CheckFailedError, match=r"for .*, the output 'mean' has .* instead of"):
            convert(Tokens(), tmp_path / "m", inputs=INPUTS, precision=precision)
    assert not list(tmp_path.iterdir())


class Large(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 1e4) ** 2


def test_numbers_beyond_float16_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckFailedError, match=r"too small .*'output' that are not finite; .*32"):
        convert(Large(), tmp_path / "m", inputs=[np.zeros((1, 2))])
    convert(Large(), tmp_path / "m", inputs=[np.zeros((1, 2))], precision="float32")


@pytest.mark.parametrize(
    ("network", "options", "text"),
    [
        (Large(), {}, r"what the PyTorch module takes is not known; .*; for arrays, pass inputs"),
        (Large(), {"inputs": [1, 2]}, "inputs has 2 arrays, but forward takes x"),
        (Large(), {"inputs": {"y": np.zeros(2)}}, "no parameter 'y'; it takes: x"),
        (Large(), {"inputs": ["a"]}, "the input 'x' is str; expected an array of numbers"),
        (nn.LSTM(3, 4), {"inputs": [np.zeros((1, 3), bool)]}, "expected an array of numbers"),
    ],
)
def test_inputs_that_cannot_be_are_refused(
    network: nn.Module, options: dict[str, Any], text: str, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=text):
        convert(network, tmp_path / "m", **options)


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="without branches that depend on their values"):
        convert(Branching(), tmp_path / "m", inputs=[np.zeros((1, 2))])


# --- files of arrays


def test_tables(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a;b\n1;2.5\n;-3\n")
    (only,) = load_arrays(path, [ArrayInput("x", (None, 2))])
    np.testing.assert_array_equal(only["x"], [[1, 2.5], [np.nan, -3]])
    named = load_arrays(path, [ArrayInput("b", (None, 1)), ArrayInput("a", (None,), "str")])[0]
    assert named["b"].tolist() == [[2.5], [-3.0]] and named["a"].tolist() == ["1", ""]
    path.write_text("1,2\n3\n")
    with pytest.raises(DataError, match=r"x\.csv, line 2: 1 cells; expected 2"):
        load_arrays(path, [ArrayInput("x", (None, 2))])
    path.write_text("1,2\n3,four\n")
    with pytest.raises(DataError, match="'four' is not a number"):
        load_arrays(path, [ArrayInput("x", (None, 2))])


def test_arrays_that_cannot_be_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="contains Python objects"):
        load_arrays(path, ())
    np.savez_compressed(path, x=np.zeros(1000))
    content = path.read_bytes()
    monkeypatch.setattr("pocketlens.evaluation.array_files.MAX_ARRAY_BYTES", 7999)
    with pytest.raises(DataError, match="expected at most 8.0 KB"):
        load_arrays(path, ())
    path.write_bytes(content[:-20])
    with pytest.raises(DataError, match=r"x\.npz cannot be read: .*; save or copy it again"):
        load_arrays(path, ())
    with pytest.raises(DataError, match="is not a file of arrays; expected one that ends in"):
        load_arrays(Path(__file__), ())


# --- on the command line


def test_verify_of_two_core_ml_files(converted: Path, tmp_path: Path) -> None:
    exact = convert(Tokens(), tmp_path / "Exact", inputs=INPUTS, precision="float32")
    np.savez(tmp_path / "x.npz", **rows(4))
    words = ["verify", exact, converted, "--data", tmp_path / "x.npz"]
    assert json.loads(output_of(*words, "--json"))["cases"] == 4
    status, out, error = run_command(*words, "--tolerance", "1e-6")
    assert status == 1 and "parity FAILED in 4 runs on your data" in out
    assert "do not agree within the tolerance" in error
    assert "takes images" not in error_of("verify", exact, converted, "--data", tmp_path / "no.npz")


# --- Keras


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_keras_models_of_arrays(tmp_path: Path) -> None:
    from pocketlens.conversion import from_keras

    keras: Any = from_keras._import_keras()
    keras.utils.set_random_seed(0)
    layers = keras.layers
    x, days = keras.Input((3,), name="x"), keras.Input((5, 2), name="days")
    joined = layers.Concatenate()([layers.Dense(4)(x), layers.LSTM(4)(days)])
    outputs = {"price": layers.Dense(1, name="price")(joined), "kind": layers.Dense(2)(joined)}
    model = keras.Model({"x": x, "days": days}, outputs)
    model.save(tmp_path / "m.keras")
    output_of("convert", tmp_path / "m.keras", "-o", tmp_path / "M")
    made = load(tmp_path / "M.mlpackage")
    shapes = {each.name: each.shape for each in made.interface.inputs}
    assert shapes == {"x": (1, 3), "days": (1, 5, 2)}
    random = np.random.default_rng(0)
    given = {"x": random.random((6, 3)), "days": random.random((6, 5, 2))}
    want = model.predict(given, verbose=0)
    got = made.run({name: value[4:5].astype(np.float32) for name, value in given.items()})
    for name in ("price", "kind"):
        np.testing.assert_allclose(got[name][0], want[name][4], atol=5e-3)
    assert verify_arrays(tmp_path / "m.keras", tmp_path / "M.mlpackage", given).cases == 6
    endless = keras.Input((None, 2), name="days")
    with pytest.raises(ConversionError, match=r"give them a fixed one, in Python: .*inputs="):
        convert(keras.Model(endless, layers.LSTM(4)(endless)), tmp_path / "O")
