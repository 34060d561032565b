"""Files of classic models, their inputs and labels, and what is refused."""

from __future__ import annotations

import importlib
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classic_models import data
from pocketlens.conversion import ModelMetadata, convert, open_source
from pocketlens.conversion.classic.source import ClassicSource
from pocketlens.conversion.classic.ubjson import read_ubjson
from pocketlens.conversion.source_kinds import SourceOptions
from pocketlens.conversion.sources import KINDS, Kind, is_source_file
from pocketlens.coreml import load
from pocketlens.errors import ConversionError, OptionError, PocketlensError


def sklearn(path: str) -> Any:
    pytest.importorskip("sklearn")
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(f"sklearn.{module}"), name)


def tree(labels: Any = None, **options: Any) -> Any:
    made = sklearn("tree.DecisionTreeClassifier")(max_depth=2, random_state=0, **options)
    return made.fit(data().rows, data().binary if labels is None else labels)


@pytest.fixture(scope="module")
def skops_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("skops") / "model.skops"
    pytest.importorskip("skops.io").dump(tree(), path)
    return path


def booster_document(**changes: Any) -> dict[str, Any]:
    """An XGBoost model with one tree: x[0] < 0.5 gives -1, else 2; a missing x[0] goes right."""
    one = {
        "tree_param": {"size_leaf_vector": "1"},
        "left_children": [1, -1, -1],
        "right_children": [2, -1, -1],
        "split_indices": [0, 0, 0],
        "split_conditions": [0.5, -1.0, 2.0],
        "split_type": [0, 0, 0],
        "default_left": [0, 0, 0],
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
    } | changes
    model = {"trees": [one], "tree_info": [0], "iteration_indptr": [0, 1]}
    parameters = {"base_score": "[5E-1]", "num_class": "0", "num_feature": "2", "num_target": "1"}
    learner = {
        "attributes": {},
        "feature_names": [],
        "feature_types": [],
        "gradient_booster": {"name": "gbtree", "model": model},
        "learner_model_param": parameters,
        "objective": {"name": "reg:squarederror"},
    }
    return {"learner": learner, "version": [3, 2, 0]}


def without_xgboost(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def importing(name: str, package: str | None = None) -> Any:
        if name.partition(".")[0] in ("xgboost", "lightgbm"):
            raise ModuleNotFoundError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", importing)


def test_a_booster_is_converted_without_xgboost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_xgboost(monkeypatch)
    (tmp_path / "model.json").write_text(json.dumps(booster_document()))
    path = convert(tmp_path / "model.json", tmp_path / "Model.mlmodel")
    model = load(path)
    below, above = np.float32(0.5) - np.float32(2**-25), 0.5
    got = [
        model.run({"input": [x, 0.0]})["prediction"] for x in (float(below), above, np.nan, 0.4999)
    ]
    assert got == [-0.5, 2.5, 2.5, -0.5]


LIGHTGBM = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=binary sigmoid:2
feature_names=size Column_1
feature_infos=[0:1] none
tree_sizes=1

Tree=0
num_leaves=3
num_cat=1
split_feature=0 1
threshold=0.25 0
decision_type=10 1
left_child=-1 -2
right_child=1 -3
leaf_value=-1 2 0.5
cat_boundaries=0 1
cat_threshold=5
is_linear=0
shrinkage=1


end of trees
"""


def test_a_lightgbm_text_is_converted_without_lightgbm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_xgboost(monkeypatch)
    (tmp_path / "model.txt").write_text(LIGHTGBM)
    source = open_source(tmp_path / "model.txt", SourceOptions(labels=("no", "yes")))
    model = load(convert(source, tmp_path / "Model.mlmodel"))
    assert [each.name for each in model.interface.inputs] == ["size", "Column_1"]

    def margin(size: float, category: float) -> float:
        shares = model.run({"size": size, "Column_1": category})["classProbability"]
        return float(np.log(shares["yes"] / shares["no"]) / 2)

    # Categories 0 and 2 go left; a missing size goes left, too.
    rows = [(0.25, 9), (0.26, 0), (0.26, 2.9), (0.26, -0.5), (0.26, 1), (0.26, -1), (np.nan, 0)]
    np.testing.assert_allclose(
        [margin(*row) for row in rows], [-1, 2, 2, 2, 0.5, 0.5, -1], atol=1e-9
    )


def test_skops_file_with_metadata(skops_file: Path, tmp_path: Path) -> None:
    assert is_source_file(skops_file)
    about = ModelMetadata("Ada", "MIT", "1.0", "Finds nothing.")
    path = convert(skops_file, tmp_path / "Model", labels=["no", "yes"], metadata=about)
    assert path.name == "Model.mlpackage"
    model = load(path)
    assert model.classes == ("no", "yes")
    answer = model.run({"input": [0.0] * 4})
    assert set(answer) == {"classLabel", "classProbability"}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (lambda binary: binary.astype(bool), (0, 1)),
        (lambda binary: 2 * binary - 1, (-1, 1)),
        (lambda binary: binary.astype(float), (0, 1)),
        (lambda binary: np.array(["nein", "ja"])[binary], ("ja", "nein")),
    ],
)
def test_labels_are_those_of_the_model(labels: Callable[[Any], Any], expected: tuple[Any]) -> None:
    assert open_source(tree(labels(data().binary))).labels == expected  # type: ignore[union-attr]


def test_columns_are_inputs_if_the_model_knows_their_names() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(data().rows, columns=["a", "b", "c", "d"])
    model = sklearn("tree.DecisionTreeClassifier")(max_depth=2).fit(frame, data().binary)
    columns, array = (
        open_source(model, SourceOptions(inputs=inputs)) for inputs in (None, "array")
    )
    assert [each.name for each in columns.inputs] == ["a", "b", "c", "d"]  # type: ignore[union-attr]
    assert [each.name for each in array.inputs] == ["input"]  # type: ignore[union-attr]


def test_a_pipeline_may_begin_with_a_step_that_does_nothing(tmp_path: Path) -> None:
    pipeline = sklearn("pipeline.Pipeline")([("nothing", "passthrough"), ("tree", tree())])
    source = open_source(pipeline.fit(data().rows, data().binary))
    path = convert(source, tmp_path / "Model.mlmodel")
    assert load(path).kind == "tree ensemble (classifier)"


def single() -> Any:
    return tree(np.zeros(300, int))


def unfitted() -> Any:
    return sklearn("ensemble.RandomForestClassifier")()


def several() -> Any:
    return tree(np.stack([data().binary, data().binary], axis=1))


def calibrated() -> Any:
    return sklearn("calibration.CalibratedClassifierCV")()


def by_distance() -> Any:
    neighbors = sklearn("neighbors.KNeighborsClassifier")(weights="distance")
    return neighbors.fit(data().rows, data().binary)


def clusters() -> Any:
    return sklearn("cluster.KMeans")(2, n_init=1).fit(data().rows)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (unfitted, r"RandomForestClassifier is not fitted; call its fit\(X, y\)"),
        (single, "knows a single class, 0, .* a Core ML classifier needs two"),
        (several, "several outputs; .* train and convert a model for each output"),
        (calibrated, "CalibratedClassifierCV .* convert the classifier inside it"),
        (by_distance, "train it with weights='uniform'"),
        (clusters, "KMeans .* cannot be converted to Core ML"),
    ],
)
def test_what_core_ml_lacks_is_refused(model: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        open_source(model())


def test_other_number_of_labels() -> None:
    with pytest.raises(OptionError, match="3 labels for the 2 classes .* each of: 0, 1"):
        open_source(tree(), SourceOptions(labels=("a", "b", "c")))


@pytest.mark.parametrize(
    "changes",
    [
        {"left_children": [0, -1, -1]},
        {"left_children": [7, -1, -1]},
        {"right_children": [1, -1, -1]},
        {"split_indices": [9, 0, 0]},
        {"split_conditions": [0.5]},
        {"split_conditions": [float("nan"), 0.0, 1.0]},
        {"split_type": [1, 0, 0]},
        {"tree_param": {"size_leaf_vector": "3"}},
        {"left_children": "x"},
    ],
)
def test_damaged_booster(changes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps(booster_document(**changes)))
    with pytest.raises(ConversionError, match="damaged|several outputs"):
        open_source(path)


def ubj(value: Any) -> bytes:
    """A value as UBJSON."""
    if isinstance(value, dict):
        pairs = (_length(key) + ubj(each) for key, each in value.items())
        return b"{" + b"".join(pairs) + b"}"
    if isinstance(value, list):
        return b"[" + b"".join(map(ubj, value)) + b"]"
    if isinstance(value, str):
        return b"S" + _length(value)
    if isinstance(value, float):
        return b"d" + struct.pack(">f", value)
    return b"l" + struct.pack(">i", value)


def _length(text: str) -> bytes:
    return b"L" + struct.pack(">q", len(text)) + text.encode()


def test_a_file_of_json_is_xgboost_if_it_begins_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_xgboost(monkeypatch)
    other = Kind("something else", "nowhere:nothing", ("model.json",))
    monkeypatch.setattr("pocketlens.conversion.sources.KINDS", (other, *KINDS))
    path = tmp_path / "model.json"
    path.write_text(json.dumps(booster_document(), indent=2))
    assert isinstance(open_source(path), ClassicSource)


def test_ubjson() -> None:
    document = booster_document()
    assert read_ubjson(ubj(document), "it") == document
    typed = b"{i\x01a[$d#i\x02" + struct.pack(">ff", 0.5, -1) + b"}"
    np.testing.assert_array_equal(read_ubjson(typed, "it")["a"], [0.5, -1])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{i\x01a[$d#L" + struct.pack(">q", 2**60),
        b"{i\x01aSL" + struct.pack(">q", -1),
        b"[" * 100,
        b"[$Z#L" + struct.pack(">q", 2**60),
        b"{i\x01a?}",
        b"{}x",
        *(ubj(booster_document())[:cut] for cut in (10, 100, 300, 700)),
    ],
)
def test_damaged_ubjson(content: bytes) -> None:
    with pytest.raises(ConversionError, match="damaged or cut short"):
        read_ubjson(content, "it")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("end of trees", ""),
        ("num_leaves=3", "num_leaves=4"),
        ("left_child=-1 -2", "left_child=0 -2"),
        ("right_child=1 -3", "right_child=1 -9"),
        ("split_feature=0 1", "split_feature=0 8"),
        ("cat_boundaries=0 1", "cat_boundaries=0 7"),
        ("threshold=0.25 0", "threshold=nan 0"),
        ("tree_sizes=1", "tree_sizes=1 2"),
        ("sigmoid:2", "sigmoid:-1"),
    ],
)
def test_damaged_lightgbm_text(old: str, new: str, tmp_path: Path) -> None:
    path = tmp_path / "model.txt"
    path.write_text(LIGHTGBM.replace(old, new, 1))
    with pytest.raises(ConversionError):
        open_source(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("binary sigmoid:2", "regression sqrt", "without reg_sqrt"),
        ("is_linear=0", "is_linear=1", "linear_tree=false"),
        ("objective=binary sigmoid:2\n", "", "objective of its own"),
    ],
)
def test_lightgbm_text_that_core_ml_lacks(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.txt"
    path.write_text(LIGHTGBM.replace(old, new, 1))
    with pytest.raises(ConversionError, match=message):
        open_source(path)


def rewritten(path: Path, target: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """A skops file whose members are changed."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return target


def test_skops_with_another_type_is_refused(skops_file: Path, tmp_path: Path) -> None:
    def change(name: str, content: bytes) -> bytes:
        return content.replace(b'"DecisionTreeClassifier"', b'"Popen"').replace(
            b'"sklearn.tree._classes"', b'"subprocess"'
        )

    with pytest.raises(ConversionError, match="contains subprocess.Popen, .* known type"):
        open_source(rewritten(skops_file, tmp_path / "bad.skops", change))


def test_skops_array_that_says_more_than_it_has(skops_file: Path, tmp_path: Path) -> None:
    array = io.BytesIO()
    np.save(array, np.zeros(2))
    huge = array.getvalue().replace(b"(2,)", b"(9,)")

    def change(name: str, content: bytes) -> bytes:
        return huge if name.endswith(".npy") else content

    with pytest.raises(ConversionError, match="is damaged: an array says that it is"):
        open_source(rewritten(skops_file, tmp_path / "bad.skops", change))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip"])
def test_skops_file_that_is_none(content: bytes, tmp_path: Path) -> None:
    pytest.importorskip("skops")
    path = tmp_path / "model.skops"
    path.write_bytes(content)
    with pytest.raises(PocketlensError):
        open_source(path)


def test_skops_tree_whose_nodes_are_no_tree(skops_file: Path, tmp_path: Path) -> None:
    """scikit-learn would follow these children out of its memory."""

    def change(name: str, content: bytes) -> bytes:
        if not name.endswith(".npy"):
            return content
        array = np.load(io.BytesIO(content))
        if array.dtype.names and "left_child" in array.dtype.names:
            array["left_child"][0] = 1_000_000
        changed = io.BytesIO()
        np.save(changed, array)
        return changed.getvalue()

    with pytest.raises(ConversionError, match="nodes are not a tree"):
        open_source(rewritten(skops_file, tmp_path / "bad.skops", change))


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib"])
def test_pickles_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04")
    with pytest.raises(ConversionError, match=r"pickle.*skops\.io\.dump"):
        open_source(tmp_path / name)


def test_a_file_is_not_read_by_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LightGBM ends the process for a text that is cut short after its trees."""
    lightgbm, xgboost = pytest.importorskip("lightgbm"), pytest.importorskip("xgboost")
    rows, labels = data().rows, data().binary
    light = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(rows, labels)
    light.booster_.save_model(tmp_path / "m.txt")
    boosted = xgboost.XGBClassifier(n_estimators=3).fit(rows, labels)
    boosted.save_model(tmp_path / "m.ubj")
    text = (tmp_path / "m.txt").read_text()
    (tmp_path / "cut.txt").write_text(text[: text.index("parameters:") + 200])
    wants = {"m.txt": light, "m.ubj": boosted}
    want = {name: model.predict_proba(rows[:20]) for name, model in wants.items()}

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the library reads the file")

    monkeypatch.setattr(lightgbm, "Booster", refuse)
    monkeypatch.setattr(xgboost, "Booster", refuse)
    with pytest.raises(ConversionError, match="is cut short: its parameters have no end; it is da"):
        open_source(tmp_path / "cut.txt")
    for name, probabilities in want.items():
        source = open_source(tmp_path / name)
        assert isinstance(source, ClassicSource)
        found = source.run({"input": rows[:20]})["classProbability"]
        np.testing.assert_allclose(found, probabilities, atol=1e-6)
