"""`pocketlens run --data FOLDER` with the real backbone, on small pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import pocketlens
from command_line import run_command as invoke
from pocketlens import Recipe, Run, finetuning
from pocketlens.cli.run import print_summary, summary
from pocketlens.errors import RunError
from pocketlens.evaluation.accuracy import percent
from pocketlens.prediction import NOTHING

SMALL = {"input.height": 48, "input.width": 48}


def draw(kind: str, random: np.random.Generator) -> Image.Image:
    photo = Image.new("RGB", (80, 60), tuple(random.integers(150, 255, 3).tolist()))
    x, y, size = (int(v) for v in random.integers((10, 5, 25), (35, 20, 40)))
    color = tuple(random.integers(0, 100, 3).tolist())
    pen = ImageDraw.Draw(photo)
    if kind == "ball":
        pen.ellipse((x, y, x + size, y + size), fill=color)
    else:
        for step in range(x % 8, 60, 6 + size % 7):  # else all fences would be near-duplicates
            pen.line((0, step, 80, step), fill=color, width=3)
    return photo


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for kind in ("ball", "fence"):
        (place / "My Things" / kind).mkdir(parents=True)
        for index in range(10):
            draw(kind, random).save(place / "My Things" / kind / f"{index}.jpg")
    (place / "room").mkdir()
    for index in range(6):
        shade = int(random.integers(20, 90))
        Image.new("RGB", (64, 48), (shade, shade, shade)).save(place / "room" / f"{index}.png")
    settings = {"data.source": f"folder:{place / 'My Things'}", **SMALL}
    settings["data.background"] = str(place / "room")
    return pocketlens.run(out=place / "run", overrides=settings)


def test_a_folder_of_photos_becomes_a_checked_model(finished: Run) -> None:
    assert finished.missing == ()
    assert finished.recipe.name == "my-things"
    assert finished.model
    assert finished.model.name == "MyThings.mlpackage"
    assert finished.evaluation
    assert finished.evaluation.accuracy == 1.0
    assert finished.check
    assert finished.check.parity.passed
    model = pocketlens.load(finished.model)
    assert model.classes == ("ball", "fence", NOTHING)
    assert model.input_spec.assumed == ()
    page = (finished.folder / "report.html").read_text()
    assert "cross-validated accuracy" in page

    assert "epoch" not in page.partition("The recipe: all settings")[0]
    assert "Digits" not in page
    assert finished.app
    assert (finished.app / "MyThings.xcodeproj").is_dir()


def test_the_summary_says_more_than_a_test_on_few_photos(
    finished: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    print_summary(summary(finished))
    rows = capsys.readouterr().out.split()
    said = " ".join(rows)
    assert "100.00 % (95 % interval" in said
    accuracy = finished.cross_validated
    assert accuracy is not None
    images = finished.cross_validated_images
    assert images >= 8  # the fences are alike, so they may count as one burst
    expected = f"Cross-validation {percent(accuracy)} of {images} training images, by models that"
    assert expected in said
    assert said.index("Test accuracy") < said.index("Cross-validation") < said.index("Nothing a la")


def test_nothing_in_view(finished: Run) -> None:
    assert finished.model
    model = pocketlens.load(finished.model)
    dark = Image.new("RGB", (100, 100), (50, 50, 50))
    noise = np.random.default_rng(1).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    assert [each.label for each in model.predict([dark, noise])] == [NOTHING, NOTHING]
    assert not model.predict(dark).shown


def test_corrections_are_learned_as_the_photos_were(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left of the training of heads on features that could be continued."""
    (tmp_path / "wrong" / "ball").mkdir(parents=True)
    draw("ball", np.random.default_rng(9)).save(tmp_path / "wrong" / "ball" / "1.png")
    asked: list[Recipe] = []

    def stop(recipe: Recipe, **_: object) -> None:
        asked.append(recipe)
        raise RunError("stop")

    monkeypatch.setattr(finetuning, "run", stop)
    with pytest.raises(RunError, match="stop"):
        finetuning.correct(finished.folder, tmp_path / "wrong", out=tmp_path / "new")
    (recipe,) = asked
    assert recipe.training == finished.recipe.training
    assert recipe.data.extra == f"folder:{tmp_path / 'wrong'}"


def test_the_command_again_does_nothing(finished: Run) -> None:
    status, out, err = invoke("run", finished.folder / "recipe.toml", "--out", finished.folder)
    assert status == 0, err
    assert "already done" in err
    assert "Nothing" in out
