"""The report of a finished run, of an incomplete run, and of other folders."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path

import pytest

from pocketlens.errors import RecipeError, RunError
from pocketlens.evaluation.accuracy import Evaluation, evaluate
from pocketlens.evaluation.parity import Parity
from pocketlens.evaluation.robustness import Rejection, Score, Share, SuiteResult, Table
from pocketlens.files import size_text
from pocketlens.history import FineTuning
from pocketlens.recipe import load_recipe
from pocketlens.report import write_report
from pocketlens.report.page import duration_text, milliseconds_text
from pocketlens.report.page_figures import page_figures
from pocketlens.run_contents import CONTENTS, figure_names
from pocketlens.run_folder import read_run
from report.samples import LookupPredictor, make_dataset

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """The parsed page, with its tags, attributes and text; asserts that all tags are closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of all elements with this tag."""
        found = [attributes for name, attributes in self.tags if name == tag]
        return [{key: value or "" for key, value in one.items()} for one in found]


@pytest.fixture
def rejection() -> Rejection:
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


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def read(run: Path) -> Page:
    path = write_report(run)
    assert path == run / "report.html"
    return Page(path.read_text())


def test_the_page_contains_the_results_of_the_run(run: Path) -> None:
    page = read(run)
    for words in (
        "test accuracy 95.00 %",
        "95 % confidence interval 86.30 % to 98.29 %, 60 images",
        "same label as the trained network; mean |Δp| 0.0004",
        "time per image 0.0934 ms",
        "training time 5.1 s 3 epochs on cpu",
        "The images come from mnist and have 10 classes: 58,800 images for training, 1,200 for val",
        "The network strided has 34,186 parameters.",
        "calibrated with a temperature of 0.831",
        "4 predicted as 5 2 times",
        "3 predicted as 4 1 time",
        "Passed. The Core ML file was run on this computer on 60 test images",
        "100.00 % of labels agree (required: at least 99.90 %); the mean |Δp| is 0.0004 "
        "(required: at most 0.005)",
        "neural network",
        "description A model for this test.",
        "input image image, 28 × 28 pixels, gray",
        "training.epochs",
        "convert to Core ML 1 min 05 s",
        "total 1 min 11 s",
        "open Digits.xcodeproj",
        "pocketlens predict",
        f"Written by Pocketlens {version('pocketlens')} from",
    ):
        assert words in page.text
    assert "not complete" not in page.text
    assert "is missing" not in page.text
    assert "Different data" not in page.text


def test_each_class_has_a_row(run: Path) -> None:
    text = read(run).text
    assert "class images recall precision missed 0 6 100.00 % 100.00 % 0 1 6 100.00 %" in text
    # Two of six 4s are predicted as 5, and one 3 as 4: the precision of 4 is 4/5.
    assert "4 6 66.67 % 80.00 % 2 5 6 100.00 % 75.00 % 0" in text


def test_the_page_is_self_contained(run: Path) -> None:
    write_report(run)
    html = (run / "report.html").read_text()
    page = Page(html)
    links = [
        attrs[key] or ""
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


def test_a_class_nothing_in_the_users_data_needs_the_camera_results_too(run: Path) -> None:
    assert "camera.json" not in read_run(run).missing
    change(run / "data.json", classes=["cup", "nothing"])
    assert "camera.json" in read_run(run).missing


def test_a_recognizer_with_the_class_nothing(run: Path, rejection: Rejection) -> None:
    html = write_report(run).read_text()
    assert '<section id="camera"' not in html
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
        '<section id="camera"',
        "of 400 simulated photos, measured with the Core ML file",
        "is at least 0.62 and the probability of <code>nothing</code> is at most\n  0.1. ",
        "97.50 %",
        '<th scope="row">white paper</th><td>50</td>',
        "90.00 %",
        "2.00 % of the empty scenes get a label",
        "of 100 empty scenes get a label; 97.00 % of the images with a class do",
    ):
        assert words in html.replace("\N{NO-BREAK SPACE}", " ")


def test_without_augmentation_its_figure_is_not_expected(run: Path) -> None:
    recipe = load_recipe(run / "recipe.toml", ["augment.name=none"])
    (run / "recipe.toml").write_text(recipe.to_toml())
    (run / "figures" / "augmented.png").unlink()
    assert "figures/augmented.png" not in read_run(run).missing
    assert "Augmented versions of" not in write_report(run).read_text()


def test_the_page_is_accessible(run: Path) -> None:
    page = read(run)
    images = page.all("img")
    # This recognizer does not have the class `nothing`, and was not trained on features or files.
    others = [item.path for item in CONTENTS if item.only in ("features", "nothing")]
    others += ["figures/findings.png", "figures/labels.png"]
    assert len(images) == len(figure_names()) - sum("figures/" in path for path in others)
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


def test_the_page_has_all_figures_of_a_run(run: Path) -> None:
    assert {figure.name for figure in page_figures(read_run(run)).values()} == set(figure_names())


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
def test_links_in_the_run_are_not_followed(run: Path) -> None:
    """A report must not show a file from elsewhere."""
    outside = run.parent / "secret.svg"
    outside.write_text("<svg>secret</svg>")
    figure = read_run(run).figures["rejection.svg"]
    figure.unlink()
    figure.symlink_to(outside)
    assert "rejection.svg" not in read_run(run).figures
    (run / "data.json").unlink()
    (run / "data.json").symlink_to(outside)
    with pytest.raises(RunError, match=r"data.json cannot be read: it is a symbolic link"):
        read_run(run)


def test_reports_are_reproducible(run: Path) -> None:
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    assert not list(run.glob(".*.part"))


def test_replaced_data_is_reported_first(run: Path) -> None:
    change(run / "data.json", source="strokes", note="MNIST could not be downloaded: no network.")
    text = read(run).text
    notice = "Different data was used. MNIST could not be downloaded: no network."
    assert text.index(notice) < text.index("test accuracy")
    assert "(Requested: auto ; used: strokes .)" in text


def test_a_failed_parity_is_reported(run: Path, parity: Parity) -> None:
    values = parity.to_dict() | {"disagreed": 6}
    change(run / "parity.json", parity=values)
    text = read(run).text
    assert "Failed. The Core ML file was run on this computer" in text
    assert "90.00 % of labels agree (required: at least 99.90 %)" in text
    shutil.rmtree(run / "app")  # it was not written, as the run stopped
    text = read(run).text
    assert "It stopped because the Core ML file and the trained network differ. Try float32" in text
    assert f"{run.name}-float32 --set model.precision=float32" in text


def test_without_validation_nothing_is_said_to_be_fitted_on_it(run: Path) -> None:
    change(run / "data.json", validation=0)
    text = read(run).text
    assert "images for training, none for validation, and" in text
    assert "Without validation images, the last epoch was kept, and the confidence is not" in text


@pytest.mark.parametrize("pays", [True, False])
def test_the_accuracy_of_a_fine_tuning_is_said_once(run: Path, pays: bool) -> None:
    (run / "recipe.toml").write_text(load_recipe("photos-fine").to_toml())
    change(run / "data.json", validation=0)
    gained = FineTuning(pays, 10, 0.214, 0.144, 0.932, 0.955)
    change(run / "metrics.json", fine_tuning=asdict(gained))
    text = read(run).text
    assert text.count(str(gained)) == 1
    assert ("head and last blocks" in text) is pays
    assert ("its last blocks and the head were trained, too, for 10 epochs." in text) is pays
    assert ("Only the head was trained" in text) is not pays
    assert ("In cross-validation, models that were trained on the other images" in text) is not pays
    assert "The confidence is calibrated on " in text


def test_texts_from_the_run_are_escaped(run: Path, evaluation: Evaluation) -> None:
    evil = "<script>alert(1)</script>"
    values = json.dumps(evaluation.to_dict()).replace('"4"', json.dumps(evil))
    change(run / "metrics.json", network=evil, recognizer=json.loads(values))
    change(run / "data.json", note=evil, classes=[evil, "b"], source=evil)
    html = write_report(run).read_text()
    assert "<script" not in html
    assert Page(html).text.count(evil) >= 5


@pytest.mark.parametrize(
    "name",
    [
        "data.json",
        "history.jsonl",
        "metrics.json",
        "parity.json",
        "stages.json",
        "Digits.mlmodel",
        "figures/pixels.png",
    ],
)
def test_a_missing_file_is_listed_with_the_command_that_creates_it(run: Path, name: str) -> None:
    (run / name).unlink()
    text = read(run).text
    assert f"This run is not complete. Missing: {name} ." in text
    # A finished stage would be skipped; the stages of these are not recorded as finished.
    finished = name not in ("metrics.json", "parity.json", "stages.json")
    command = f"pocketlens run {run}/recipe.toml --out {run}{' --force' if finished else ''}"
    assert f"This run is not complete. Missing: {name} . To complete it: {command} " in text
    assert f"{name} is missing. To create it: {command} " in text


def test_a_run_with_only_a_recipe_has_a_report(run: Path) -> None:
    for path in run.iterdir():
        if path.name != "recipe.toml":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    text = read(run).text
    missing = text[text.index("Missing: ") : text.index("To complete it:")]
    for name in ("data.json", "history.jsonl", "metrics.json", "Digits.mlmodel", "parity.json"):
        assert name in missing
    assert "No results yet." in text
    assert "figures/parity.svg is missing" in text


def test_many_classes_show_those_with_the_lowest_recall(run: Path) -> None:
    data = make_dataset(1000, [f"c{k}" for k in range(1000)], (8, 8, 1))
    found = evaluate(LookupPredictor(data, wrong=(900,)), data)
    change(run / "metrics.json", recognizer=found.to_dict())
    change(run / "data.json", classes=list(data.classes))
    text = read(run).text
    assert "The 40 of 1,000 classes with the lowest recall." in text
    assert "class images recall precision missed c900 1 0.00 % – 1" in text
    assert "960 more classes" in text
    assert all(f"c{k}" in text.split() for k in range(1000))


def test_another_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError) as error:
        write_report(tmp_path / "none")
    assert str(error.value) == (
        f"{tmp_path}/none is not a run folder: it does not exist; create one with: "
        "pocketlens run quick --out FOLDER"
    )
    with pytest.raises(RunError, match="is not a run folder: it has no recipe.toml"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data.json", "{", r"data\.json is damaged: it is not JSON: Expecting property name"),
        ("data.json", "[" * 100_000, r"data\.json is damaged: it is not JSON: "),
        (
            "data.json",
            "[]",
            r"data\.json is damaged: this is not a summary of data: requested has the wrong type",
        ),
        (
            "data.json",
            "{}",
            "this is not a summary of data: requested is missing; source is missing;",
        ),
        ("metrics.json", "{}", "this is not the metrics of a run: network is missing"),
        (
            "parity.json",
            '{"file": 1}',
            "not the check of a Core ML file: file must be a string; received: 1; file_bytes is",
        ),
        (
            "stages.json",
            '{"train": "long"}',
            "not a table of stages: must be a finite number; received: 'long'",
        ),
        ("stages.json", "[1]", "this is not a table of stages: has the wrong type"),
        (
            "history.jsonl",
            "{}\n",
            r"history\.jsonl is damaged: line 1: this is not an epoch: epoch is missing",
        ),
        ("history.jsonl", '{"ep', r"history\.jsonl is damaged: line 1 is not JSON: "),
        ("metrics.json", b"\xff\xfe", r"metrics\.json is damaged: it is not UTF-8 text"),
    ],
)
def test_a_damaged_file_is_an_error_with_its_name(
    run: Path, name: str, content: str | bytes, message: str
) -> None:
    (run / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RunError, match=message) as error:
        write_report(run)
    assert str(error.value).endswith(
        f"; restore it, or start again with: pocketlens run {run}/recipe.toml --out {run} --force"
    )
    assert not (run / "report.html").exists()


def test_a_file_that_is_too_large_is_an_error(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketlens.run_files.MAX_BYTES", 1000)
    (run / "data.json").write_text(" " * 1001)
    with pytest.raises(RunError, match=r"cannot be read: it has more than 1000 bytes"):
        write_report(run)


def test_an_invalid_recipe_is_an_error(run: Path) -> None:
    (run / "recipe.toml").write_text("epochs = 3\n")
    with pytest.raises(RecipeError, match=r"recipe.toml has .* errors: unknown key epochs"):
        write_report(run)


def test_a_model_outside_the_folder_is_not_opened(run: Path) -> None:
    change(run / "parity.json", file="../../elsewhere/Digits.mlmodel")
    assert "A model for this test." in read(run).text


def test_the_import_loads_no_large_library() -> None:
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
def test_units(function: Callable[[float], str], value: float, text: str) -> None:
    assert function(value) == text
