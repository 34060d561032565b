"""The report of a whole run, of a broken-off run and of what is no run."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from pocketlens.errors import RecipeError, RunError
from pocketlens.evaluation.accuracy import evaluate
from pocketlens.evaluation.robustness import Rejection, Score, Share, SuiteResult, Table
from pocketlens.files import size_on_disk, size_text
from pocketlens.recipe import load_recipe
from pocketlens.report import figures, write_report
from pocketlens.report.page import duration_text, milliseconds_text
from pocketlens.run_folder import FIGURES, read_run

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """The parsed page: its tags balance, its text without style, its attributes."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A real Core ML file, made by coremltools' builder: softmax of ten pixels, no training."""
    import coremltools as ct
    import numpy as np
    from coremltools.models import datatypes
    from coremltools.models.neural_network import NeuralNetworkBuilder

    builder = NeuralNetworkBuilder(
        [("image", datatypes.Array(1, 28, 28))],
        [("probabilities", datatypes.Array(10))],
        mode="classifier",
    )
    weights = np.zeros((10, 784), np.float32)
    weights[:, :10] = np.eye(10)
    builder.add_flatten("flat", 0, "image", "pixels")
    builder.add_inner_product("ten", weights, None, 784, 10, False, "pixels", "scores")
    builder.add_softmax("softmax", "scores", "probabilities")
    builder.set_pre_processing_parameters(["image"], is_bgr=False, gray_bias=0.0)
    builder.set_class_labels([str(k) for k in range(10)])
    builder.spec.description.metadata.shortDescription = "Made to be reported."
    path = tmp_path_factory.mktemp("model") / "Digits.mlmodel"
    ct.models.utils.save_spec(builder.spec, str(path))
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory, model, digits, evaluation, parity, history):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "quick"
    folder.mkdir()
    settings = ["model.format=mlmodel", "model.name=Digits", "augment.name=shift"]
    recipe = load_recipe("quick", settings)
    (folder / "recipe.toml").write_text(recipe.to_toml())
    (folder / "Digits.mlmodel").write_bytes(model.read_bytes())
    (folder / "app" / "Digits.xcodeproj").mkdir(parents=True)
    lines = "".join(json.dumps(row) + "\n" for row in history)
    (folder / "history.jsonl").write_text(lines)
    parts = {
        "data": {
            "requested": "auto",
            "source": "mnist",
            "note": None,
            "classes": list(digits.classes),
            "train": 58_800,
            "validation": 1200,
            "test": 10_000,
        },
        "metrics": {
            "network": "strided",
            "parameters": 34_186,
            "device": "cpu",
            "training_seconds": 5.13,
            "best_epoch": 3,
            "temperature": 0.8312,
            "recognizer": evaluation.to_dict(),
        },
        "parity": {
            "file": "Digits.mlmodel",
            "file_bytes": size_on_disk(model),
            "format": "mlmodel",
            "precision": "float16",
            "milliseconds_per_image": 0.09341,
            "load_seconds": 0.041,
            "parity": parity.to_dict(),
        },
        "stages": {"data": 0.3, "train": 5.4, "convert": 65.2},
    }
    for name, values in parts.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    kept = folder / "figures"
    figures.draw_samples(digits, kept / "samples.png", rows=1, columns=2)
    figures.draw_history(history, kept / "history.svg")
    for name in FIGURES:
        pattern = "samples.png" if name.endswith("png") else "history.svg"
        (kept / name).write_bytes((kept / pattern).read_bytes())
    return folder


@pytest.fixture
def rejection():
    return Rejection(
        note="400 photographs of digits against 100 scenes without a digit",
        threshold=0.62,
        present=0.9,
        auroc=0.99,
        fpr=0.03,
        kept=Share.of("kept", 388, 400),
        right=Share.of("kept and right", 384, 400),
        false=Share.of("false answers to nothing", 2, 100),
        kept_by_kind=(),
        false_by_kind=(Share.of("walls", 2, 100),),
        digits=(0,) * 19 + (400,),
        nothing=(100,) + (0,) * 19,
    )


@pytest.fixture
def run(finished, tmp_path):
    """A copy to damage."""
    return shutil.copytree(finished, tmp_path / "quick")


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def read(run):
    path = write_report(run)
    assert path == run / "report.html"
    return Page(path.read_text())


def test_the_page_says_what_the_run_measured(run):
    page = read(run)
    for words in (
        "test accuracy 95.00 %",
        "95 % interval 86.30 % to 98.29 %, 60 images",
        "labels agree with the trained network; mean |Δp| 0.0004",
        "one image 0.0934 ms",
        "training 5.1 s 3 epochs on cpu",
        "The images are mnist , of 10 classes: 58,800 to train with, 1,200 held back",
        "The network strided has 34,186 parameters.",
        "scaled by a temperature of 0.831",
        "4 taken for 5 2 times",
        "3 taken for 4 1 time",
        "Passed. The Core ML file was run on this computer on 60 test images",
        "100.00 % of labels agree (wanted: 99.90 %), mean |Δp| is 0.0004 (wanted: at most 0.001)",
        "neural network",
        "description Made to be reported.",
        "input image image, 28 × 28 pixels, gray",
        "training.epochs",
        "converting to Core ML 1 min 05 s",
        "together 1 min 11 s",
        "open Digits.xcodeproj",
        "pocketlens predict",
    ):
        assert words in page.text
    assert "not complete" not in page.text
    assert "is not there" not in page.text
    assert "Not the data" not in page.text


def test_each_class_has_its_row(run):
    text = read(run).text
    assert "class images recall precision missed 0 6 100.00 % 100.00 % 0 1 6 100.00 %" in text
    # Of six 4s two are taken for a 5, and one 3 is taken for a 4: precision 4/5.
    assert "4 6 66.67 % 80.00 % 2 5 6 100.00 % 75.00 % 0" in text


def test_the_page_asks_no_host_for_anything(run):
    write_report(run)
    html = (run / "report.html").read_text()
    page = Page(html)
    links = [
        attrs[key]
        for _, attrs in page.tags
        for key in ("src", "href", "srcset", "data", "action", "poster")
        if key in attrs
    ]
    assert len(links) > 9
    assert {link.split(":")[0] for link in links if not link.startswith("#")} == {"data"}
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "base"})
    style = re.search("<style>(.*?)</style>", html, re.DOTALL)
    assert style
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    [policy] = [a["content"] for a in page.all("meta") if "http-equiv" in a]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_a_class_nothing_of_the_users_own_is_asked_about_too(run):
    assert "camera.json" not in read_run(run).missing
    change(run / "data.json", classes=["cup", "nothing"])
    assert "camera.json" in read_run(run).missing


def test_a_recognizer_that_knows_nothing(run, rejection):
    html = write_report(run).read_text()
    assert "In front of a camera" not in html
    settings = ["augment.name=camera", "data.nothing=0.1"]
    recipe = load_recipe(run / "recipe.toml", settings)
    (run / "recipe.toml").write_text(recipe.to_toml())
    assert "camera.json" in read_run(run).missing
    assert "<code>camera.json</code>" in write_report(run).read_text()
    photos = Table("camera", "Photographs", "simulated", ("accuracy",), ("all", "white paper"), (
        (Score(400, 0.975, (0.95, 0.99), 0.01), Score(50, 0.9, (0.8, 0.97), None)),
    ))  # fmt: skip
    found = SuiteResult("mnist/test", ("0", "nothing"), 400, 0, (photos,), rejection, (), 3.5)
    (run / "camera.json").write_text(json.dumps(found.to_dict()))
    html = write_report(run).read_text()
    for words in (
        "In front of a camera",
        "of 400 simulated photographs named rightly",
        "97.50 %",
        '<th scope="row">white paper</th><td>50</td>',
        "90.00 %",
        "2.00 % of the empty scenes are given a label",
        "of 100 empty scenes are given a label; 97.00 % of the others are",
    ):
        assert words in html


def test_without_augmentation_there_is_no_picture_of_it(run):
    recipe = load_recipe(run / "recipe.toml", ["augment.name=none"])
    (run / "recipe.toml").write_text(recipe.to_toml())
    (run / "figures" / "augmented.png").unlink()
    assert "figures/augmented.png" not in read_run(run).missing
    assert "What training sees" not in write_report(run).read_text()


def test_the_page_is_accessible(run):
    page = read(run)
    images = page.all("img")
    assert len(images) == len(FIGURES) - 1  # this recognizer has no class `nothing`
    assert all(len(image["alt"]) > 20 for image in images)
    assert len({image["alt"] for image in images}) == len(images)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    targets = {a["href"][1:] for a in page.all("a")}
    targets |= {attrs["aria-labelledby"] for attrs in page.all("section")}
    assert targets <= ids
    assert page.all("html") == [{"lang": "en"}]
    assert all(cell.get("scope") in ("row", "col") for cell in page.all("th"))


def test_a_second_report_is_the_same(run):
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    assert not list(run.glob(".*.part"))


def test_strokes_in_place_of_mnist_are_said_first(run):
    change(run / "data.json", source="strokes", note="MNIST could not be downloaded: no network.")
    text = read(run).text
    said = "Not the data you may expect. MNIST could not be downloaded: no network."
    assert text.index(said) < text.index("test accuracy")
    assert "(Asked for: auto ; used: strokes .)" in text


def test_a_failed_parity_is_said(run, parity):
    values = parity.to_dict() | {"disagreed": 6}
    change(run / "parity.json", parity=values)
    text = read(run).text
    assert "Failed. The Core ML file was run on this computer" in text
    assert "90.00 % of labels agree (wanted: 99.90 %)" in text


def test_whatever_comes_from_the_run_is_escaped(run, evaluation):
    evil = "<script>alert(1)</script>"
    values = json.dumps(evaluation.to_dict()).replace('"4"', json.dumps(evil))
    change(run / "metrics.json", network=evil, recognizer=json.loads(values))
    change(run / "data.json", note=evil, classes=[evil, "b"], source=evil)
    html = write_report(run).read_text()
    assert "<script" not in html
    assert Page(html).text.count(evil) >= 5


LOST = {
    "data.json": "data.json",
    "history.jsonl": "history.jsonl",
    "metrics.json": "metrics.json",
    "parity.json": "parity.json",
    "stages.json": "stages.json",
    "Digits.mlmodel": "Digits.mlmodel",
    "figures/pixels.png": "figures/pixels.png",
}


@pytest.mark.parametrize("name", LOST)
def test_a_missing_piece_is_named_with_the_command_that_makes_it(run, name):
    (run / name).unlink()
    text = read(run).text
    assert f"This run is not complete. It lacks {name} ." in text
    again = f"pocketlens run {run}/recipe.toml --out {run}"
    assert f"{name} is not there: this run has not come so far, or lost it. To go on: {again}" in (
        text
    )


def test_a_run_that_has_just_begun_has_a_report(run):
    for path in run.iterdir():
        if path.name != "recipe.toml":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    text = read(run).text
    assert (
        "It lacks data.json , history.jsonl , metrics.json , Digits.mlmodel , parity.json" in text
    )
    assert "Nothing is measured yet." in text
    assert "figures/parity.svg is not there" in text


def test_many_classes_show_those_with_the_lowest_recall(run, make_dataset, guesser):
    data = make_dataset(1000, [f"c{k}" for k in range(1000)], (8, 8, 1))
    found = evaluate(guesser(data, wrong=(900,)), data)
    change(run / "metrics.json", recognizer=found.to_dict())
    change(run / "data.json", classes=list(data.classes))
    text = read(run).text
    assert "The 40 of 1,000 classes with the lowest recall." in text
    assert "class images recall precision missed c900 1 0.00 % – 1" in text
    assert "and 960 more" in text


def test_what_is_no_run_is_an_error(tmp_path):
    with pytest.raises(RunError) as error:
        write_report(tmp_path / "none")
    assert str(error.value) == (
        f"{tmp_path}/none is not the folder of a run: it is not there; expected one that this "
        "makes: pocketlens run quick --out FOLDER"
    )
    with pytest.raises(RunError, match="is not the folder of a run: it has no recipe.toml"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data.json", "{", r"data\.json is damaged: it is not JSON: Expecting property name"),
        ("data.json", "[" * 100_000, r"data\.json is damaged: it is not JSON: "),
        ("data.json", "[]", r"data\.json is damaged: this is not a summary of data: list indices"),
        ("data.json", "{}", "this is not a summary of data: the key 'requested' is missing"),
        ("metrics.json", "{}", "this is not a run's metrics: the key 'network' is missing"),
        ("parity.json", '{"file": 1}', "this is not a check of a Core ML file: the key 'file_b"),
        ("stages.json", '{"train": "long"}', "not a table of stages: expected a number; received"),
        ("stages.json", "[1]", "this is not a table of stages: 'list' object has no attribute"),
        ("history.jsonl", "{}\n", r"history\.jsonl is damaged: line 1: this is not an epoch: the"),
        ("history.jsonl", '{"ep', r"history\.jsonl is damaged: line 1 is not JSON: "),
        ("metrics.json", b"\xff\xfe", r"metrics\.json is damaged: it is not UTF-8 text"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(run, name, content, message):
    (run / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RunError, match=message) as error:
        write_report(run)
    assert str(error.value).endswith(
        f"; remove it and make it anew: pocketlens run {run}/recipe.toml --out {run}"
    )
    assert not (run / "report.html").exists()


def test_a_file_too_large_is_an_error(run, monkeypatch):
    monkeypatch.setattr("pocketlens.run_folder.MAX_BYTES", 1000)
    (run / "data.json").write_text(" " * 1001)
    with pytest.raises(RunError, match=r"is larger than 1000 bytes, which no run writes"):
        write_report(run)


def test_a_faulty_recipe_is_an_error(run):
    (run / "recipe.toml").write_text("epochs = 3\n")
    with pytest.raises(RecipeError, match=r"recipe.toml has .* faults: epochs is not a key"):
        write_report(run)


def test_a_model_outside_the_folder_is_not_opened(run):
    change(run / "parity.json", file="../../elsewhere/Digits.mlmodel")
    assert "Made to be reported." in read(run).text


def test_importing_the_room_is_light():
    code = (
        "import sys, pocketlens.report.figures, pocketlens.evaluation.parity;"
        "heavy = {'torch', 'matplotlib', 'jinja2', 'coremltools', 'onnx', 'onnxruntime', 'PIL'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (size_text, 512, "512 bytes"),
        (size_text, 86_120, "86.1 KB"),
        (size_text, 1_234_567, "1.2 MB"),
        (duration_text, 0.336, "0.34 s"),
        (duration_text, 12.34, "12.3 s"),
        (duration_text, 59.97, "1 min 00 s"),
        (duration_text, 245, "4 min 05 s"),
        (duration_text, 7800, "2 h 10 min"),
        (milliseconds_text, 0.09341, "0.0934 ms"),
        (milliseconds_text, 1234.5, "1,234 ms"),
    ],
)
def test_units(function, value, text):
    assert function(value) == text
