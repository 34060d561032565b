"""`predict`: run folders, folders of images, CSV, what is shown, images that cannot be read."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from command_line import error_of, output_of, run_command
from pocketlens.app.spec import Display
from pocketlens.cli import predict as module
from pocketlens.cli.answers import cell
from pocketlens.coreml import load
from pocketlens.prediction import NOTHING, Prediction, Thresholds
from pocketlens.preview.smoothing import Smoother


@pytest.fixture
def photos(picture_folder: Path, tmp_path: Path) -> Path:
    """A few pictures in folders, hidden files, other files, and names that mean something."""
    folder = tmp_path / "photos"
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    stands = sorted((picture_folder / "stands").iterdir())
    lies = sorted((picture_folder / "lies").iterdir())
    for source, name in (
        (stands[0], "b.png"),
        (lies[0], "deep/a.PNG"),
        (stands[1], "deep/deeper/=cmd()|'x'!A1.png"),
        (lies[1], ".hidden/no.png"),
        (lies[1], ".no.png"),
    ):
        (folder / name).write_bytes(source.read_bytes())
    (folder / "notes.txt").write_text("no image")
    return folder


NAMES = ["b.png", "deep/a.PNG", "deep/deeper/=cmd()|'x'!A1.png"]


def test_a_folder_and_a_run(bars_run: Path, photos: Path) -> None:
    found = json.loads(output_of("predict", bars_run, photos, "--json"))
    assert [each["image"] for each in found] == [str(photos / name) for name in NAMES]
    assert [each["label"] for each in found] == ["stands", "lies", "stands"]
    of_file = output_of("predict", bars_run / "Bars.mlpackage", photos, "--json")
    assert json.loads(of_file) == found
    both = json.loads(output_of("predict", bars_run, photos / "b.png", photos / "deep", "--json"))
    assert both == found
    assert len(output_of("predict", bars_run, photos).splitlines()) == 3


def test_more_images_than_one_batch(
    bars_run: Path, picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most a batch of images is prepared before its results are printed."""
    whole = output_of("predict", bars_run, picture_folder)
    assert len(whole.splitlines()) == 300
    monkeypatch.setattr(module, "BATCH", 7)
    waiting: list[int] = []
    predict = type(load(bars_run / "Bars.mlpackage")).predict

    def counted(self: object, images: list[object]) -> object:
        waiting.append(len(images))
        return predict(self, images)  # type: ignore[call-overload]

    monkeypatch.setattr("pocketlens.coreml.CoreMLModel.predict", counted)
    assert output_of("predict", bars_run, picture_folder) == whole
    assert max(waiting) == 7
    assert sum(waiting) == 300


def test_bad_images_do_not_stop_the_others(bars_run: Path, photos: Path) -> None:
    (photos / "bad.png").write_bytes(b"no image")
    (photos / "cut.png").write_bytes((photos / "b.png").read_bytes()[:60])
    status, out, err = run_command("predict", bars_run, photos)
    assert status == 2
    assert [line.split(": ")[0] for line in out.splitlines()] == [str(photos / n) for n in NAMES]
    assert err.splitlines()[-1] == "pocketlens: error: 2 of 5 images cannot be read"
    assert "bad.png has an unsupported image format" in err
    assert "cut.png cannot be read as an image" in err
    status, out, _ = run_command("predict", bars_run, photos, "--json")
    assert status == 2
    assert ["error" in each for each in json.loads(out)] == [False, True, True, False, False]
    # A single image: one line.
    assert "has an unsupported image format" in error_of("predict", bars_run, photos / "bad.png")


def test_a_table(bars_run: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "+bad.png").write_bytes(b"no image")
    target = tmp_path / "results.csv"
    status, out, err = run_command("predict", bars_run, photos, "--csv", target)
    assert (status, out) == (2, f"wrote {target}\n")
    assert err == "pocketlens: error: 1 of 4 images cannot be read\n"
    rows = list(csv.reader(io.StringIO(target.read_text())))
    assert rows[0] == ["image", "verdict", "label", "confidence", "shown", "error"]
    assert [row[0] for row in rows[1:]] == [str(photos / n) for n in ["+bad.png", *NAMES]]
    assert rows[1][1:5] == [""] * 4
    assert "unsupported image format" in rows[1][5]
    assert rows[2][2] == "stands"
    assert rows[2][4] in ("yes", "no")
    assert 0 <= float(rows[2][3]) <= 1
    assert "results.csv already exists" in error_of("predict", bars_run, photos, "--csv", target)
    assert run_command("predict", bars_run, photos / "b.png", "--csv", target, "--force")[0] == 0
    assert len(target.read_text().splitlines()) == 2
    printed = output_of("predict", bars_run, photos / "b.png", "--csv", "-")
    assert printed == target.read_text()
    assert "pass one of them" in error_of("predict", bars_run, photos, "--csv", "-", "--json")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\t=1", " =1", "＝1"])
def test_no_name_is_a_formula(name: str) -> None:
    assert cell(name)[0] in ("'", "\\")  # quoted, or its control character is escaped
    assert cell(f"a{name}".replace("\t", "")) == f"a{name}".replace("\t", "")


def test_a_folder_without_images(bars_run: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    assert "has no images; expected files such as .png" in error_of("predict", bars_run, tmp_path)
    assert "does not exist" in error_of("predict", tmp_path / "nothing", tmp_path)


def test_what_is_shown(bars_run: Path, photos: Path) -> None:
    sure = output_of("predict", bars_run, photos / "b.png")
    assert sure.startswith(f"{photos / 'b.png'}: stands 9")
    options = ("--scale", "0", "--bias", "0.4")  # the same gray for every image
    unsure = output_of("predict", bars_run, photos / "b.png", *options)
    answer = json.loads(output_of("predict", bars_run, photos / "b.png", *options, "--json"))[0]
    if not answer["shown"]:
        assert unsure.startswith(f"{photos / 'b.png'}: not sure (")
    assert answer["verdict"] == (answer["label"] if answer["shown"] else "not sure")


def test_shown_is_what_the_preview_shows() -> None:
    random = np.random.default_rng(0)
    for classes in (("a", "b", NOTHING), ("a", "b", "c")):
        for thresholds in (Thresholds(), Thresholds(0.4, 0.3, 0.8)):
            for row in random.dirichlet([0.4] * 3, 300).astype(np.float32):
                display = Display(**asdict(thresholds), hold=1, smoothing=1.0)
                smoother = Smoother(classes, display)
                found = Prediction.from_array(classes, row, thresholds)
                assert (smoother.add(row) is not None) == found.shown
                assert smoother.verdict == found.verdict
