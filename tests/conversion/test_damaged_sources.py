"""Files of every kind of source, damaged in every way: one clear line, and nothing is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from classic_models import data
from command_line import error_of
from keras2 import write_h5
from pocketlens.conversion import open_source
from pocketlens.conversion.from_keras import _import_keras
from pocketlens.conversion.source_kinds import SourceOptions
from pocketlens.errors import ConversionError, DataError
from pocketlens.evaluation.array_cases import split_cases
from pocketlens.evaluation.arrays import ArrayInput, ArrayModel, Arrays
from sampling import sampled


def exported(path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(4, 300), torch.nn.Linear(300, 3)).eval()
    torch.export.save(torch.export.export(network, (torch.zeros(1, 4),)), path)


def keras_model() -> Any:
    keras = _import_keras()
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


def onnx_network(path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    x, y = (onnx.helper.make_tensor_value_info(name, 1, [1, 4]) for name in "xy")
    weight = onnx.numpy_helper.from_array(np.ones(4, np.float32), "w")
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "graph", [x], [y], [weight])
    onnx.save(onnx.helper.make_model(graph), path)


def fitted(package: str, name: str, **options: Any) -> Any:
    made = getattr(pytest.importorskip(package), name)(**options)
    return made.fit(data().rows, data().binary)


def skops_file(path: Path) -> None:
    model = fitted("sklearn.tree", "DecisionTreeClassifier", random_state=0)
    pytest.importorskip("skops.io").dump(model, path)


def boosted(path: Path) -> None:
    fitted("xgboost", "XGBClassifier", n_estimators=2).save_model(path)


def light(path: Path) -> None:
    fitted("lightgbm", "LGBMClassifier", n_estimators=2, verbose=-1).booster_.save_model(path)


MAKERS: dict[str, Callable[[Path], Any]] = {
    "pt2": exported,
    "keras": lambda path: keras_model().save(path),
    "h5": lambda path: write_h5(path, keras_model()),
    "onnx": onnx_network,
    "skops": skops_file,
    "json": boosted,
    "ubj": boosted,
    "txt": light,
}

FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut early": lambda content: content[: len(content) // 20],
    "cut in the middle": lambda content: content[: len(content) // 2],
    "cut late": lambda content: content[: len(content) * 9 // 10],
    "cut at the end": lambda content: content[:-40],
    "a hole": lambda content: content[:100] + content[190:],
    "noise": lambda content: np.random.default_rng(len(content)).bytes(3000),
    "noise behind": lambda content: content[:30] + np.random.default_rng(1).bytes(3000),
    "a text": lambda _: b"no model",
    "a pickle": lambda _: b"\x80\x04\x95" + bytes(100),
    "a web page": lambda _: b"<!DOCTYPE html><title>404</title>" + bytes(100),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    folder = tmp_path_factory.mktemp("whole")

    def content(ending: str) -> bytes:
        path = folder / f"model.{ending}"
        if not path.exists():
            MAKERS[ending](path)
        return path.read_bytes()

    return content


@pytest.mark.parametrize(
    ("ending", "fault"), sampled([(e, f) for e in MAKERS for f in FAULTS], 14, seed=1)
)
def test_damaged_files(
    ending: str, fault: str, whole: Callable[[str], bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"model.{ending}"
    path.write_bytes(FAULTS[fault](whole(ending)))
    message = error_of("convert", path, "--out", tmp_path / "out" / "Made")
    assert message.count(";") > 0, "the message says what to do"
    assert "internal" not in message
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", [*MAKERS, "zip"])
def test_what_is_no_regular_file(ending: str, tmp_path: Path) -> None:
    """Reading a pipe would wait forever, and a device may never end."""
    (tmp_path / f"folder.{ending}").mkdir()
    assert "is a folder; expected a" in error_of("convert", tmp_path / f"folder.{ending}")
    if os.name == "posix":
        os.mkfifo(tmp_path / f"pipe.{ending}")
        assert "is not a regular file" in error_of("convert", tmp_path / f"pipe.{ending}")


def test_an_archive_in_the_rest_of_an_archive_is_not_taken_for_it(
    whole: Callable[[str], bytes], tmp_path: Path
) -> None:
    """A `.pt2` file contains others, uncompressed: cut behind one, it seems to be that."""
    path = tmp_path / "model.pt2"
    content = whole("pt2")
    ends = [at for at in range(len(content)) if content[at : at + 4] == b"PK\5\6"]
    assert len(ends) > 1
    path.write_bytes(content[: ends[0] + 22])
    assert "is not complete, or does not begin with an archive" in error_of("convert", path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_feature_idx=3", "max_feature_idx=999999999", "4 names for 1000000000 columns"),
        ("max_feature_idx=3", "max_feature_idx=2", "4 names for 3 columns"),
        ("Tree=1", "Trees=1", "lists another number of them; it is damaged; save it again"),
    ],
)
def test_a_text_of_other_numbers(
    old: str, new: str, message: str, whole: Callable[[str], bytes], tmp_path: Path
) -> None:
    text = whole("txt").decode()
    assert old in text
    (tmp_path / "model.txt").write_text(text.replace(old, new))
    assert message in error_of("convert", tmp_path / "model.txt")


def test_a_model_of_a_billion_columns(tmp_path: Path) -> None:
    boosted(tmp_path / "model.json")
    text = (tmp_path / "model.json").read_text()
    number = '"num_feature":"4"'
    assert number in text
    (tmp_path / "model.json").write_text(text.replace(number, '"num_feature":"1000000000"'))
    assert "takes 1000000000 columns; expected 1 to 100000" in error_of(
        "convert", tmp_path / "model.json"
    )


def test_objects_that_are_not_trained() -> None:
    with pytest.raises(ConversionError, match="weight 'weight' of the network has no values"):
        open_source(torch.nn.Linear(4, 3, device="meta"), SourceOptions(inputs=[torch.zeros(1, 4)]))
    xgboost = pytest.importorskip("xgboost")
    with pytest.raises(ConversionError, match="Booster is not trained; train it before"):
        open_source(xgboost.Booster())
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    with pytest.raises(ConversionError, match="as it is not fitted"):
        open_source(preprocessing.Binarizer())


class Sum(ArrayModel):
    def __init__(self, dtype: str, rows: bool) -> None:
        self.inputs, self.outputs, self.rows = (ArrayInput("x", (1, 2), dtype),), ("y",), rows

    def run(self, arrays: Arrays) -> dict[str, Any]:
        return {"y": arrays["x"].sum(1)}


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        ("float32", 1j, "takes numbers; received an array of complex128"),
        ("float32", np.datetime64("2020-01-01"), "takes numbers; received an array of datetime64"),
        ("float32", np.zeros((), [("a", "f4")]), "takes numbers; received an array of"),
        ("float32", "x", "takes numbers; received an array of <U1"),
        ("float32", np.nan, "has NaN, a missing value, among its numbers"),
        ("float32", 1e300, r"takes float32; received 1e\+300"),
        ("int32", 0.5, "takes whole numbers of the type int32; received 0.5"),
        ("int32", 2**40, "takes whole numbers of the type int32; received 1.09951e"),
        ("str", 1.0, "takes texts; received an array of float64"),
    ],
)
def test_arrays_of_other_values(dtype: str, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        split_cases(Sum(dtype, rows=False), {"x": np.full((1, 2), value)})


def test_missing_values_are_for_tables_only() -> None:
    (case,) = split_cases(Sum("float64", rows=True), {"x": np.full((1, 2), np.nan)})
    assert np.isnan(case["x"]).all()
