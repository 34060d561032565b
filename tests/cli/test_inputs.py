"""How a model reads its images: the options, what is assumed, and which images are measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import error_of, output_of, run_command
from pocketlens.cli.inputs import InputOptions
from pocketlens.coreml.file.time_limit import default_time_limit
from pocketlens.errors import OptionError, PocketlensError
from pocketlens.image import InputSpec

REVERSED = "stands,slants,lies"  # the classes of `bars_run` are in this order: lies, slants, stands


def copy_of(folder: Path, target: Path, change: str = "") -> Path:
    """The pictures in another folder, as they are or `inverted` or `mirrored`."""
    for path in folder.rglob("*.png"):
        pixels = np.asarray(Image.open(path))
        pixels = {"inverted": 255 - pixels, "mirrored": pixels[:, ::-1]}.get(change, pixels)
        place = target / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place)
    return target


@pytest.fixture(scope="module")
def fresh(picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of(picture_folder, tmp_path_factory.mktemp("fresh") / "pictures")


@pytest.fixture(scope="module")
def model(bars_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Core ML file of the run, away from the run."""
    target = tmp_path_factory.mktemp("model") / "Bars.mlpackage"
    shutil.copytree(bars_run / "Bars.mlpackage", target)
    return target


def test_a_fresh_folder_is_used_whole(bars_run: Path, model: Path, fresh: Path) -> None:
    for source in (model, bars_run):
        status, out, err = run_command("evaluate", source, "--data", fresh, "--json")
        assert status == 0
        assert json.loads(out)["n"] == 300
        assert (
            "pictures/all is not split into train and test: all of its 300 images are used" in err
        )
    assert json.loads(output_of("verify", bars_run, "--data", fresh, "--json"))["n"] == 300


def test_only_the_test_part_of_a_folder_with_splits(
    model: Path, fresh: Path, tmp_path: Path
) -> None:
    shutil.copytree(fresh, tmp_path / "both" / "train")
    shutil.copytree(fresh, tmp_path / "both" / "test")
    for kind in ("lies", "slants", "stands"):
        for path in sorted((tmp_path / "both" / "test" / kind).iterdir())[10:]:
            path.unlink()
    out = json.loads(output_of("evaluate", model, "--data", tmp_path / "both", "--json"))
    assert out["n"] == 30


def test_the_folder_of_the_training_gives_its_test_images(
    bars_run: Path, model: Path, picture_folder: Path
) -> None:
    for source in (bars_run, bars_run / "Bars.mlpackage"):
        status, out, err = run_command("evaluate", source, "--data", picture_folder, "--json")
        assert status == 0
        assert json.loads(out)["n"] == 60
        assert "only the run's test images are used" in err
    # Away from its run, a file does not say what it was trained on.
    assert json.loads(output_of("evaluate", model, "--data", picture_folder, "--json"))["n"] == 300


def test_images_of_the_training_are_noticed(bars_run: Path, picture_folder: Path) -> None:
    """A part of the folder of the training, and a folder around it."""
    for folder in (picture_folder / "lies", picture_folder.parent):
        _, _, err = run_command("evaluate", bars_run, "--data", folder)
        assert f"the model was trained on images of folder:{folder}: the results are too" in err


def test_the_suite_uses_the_same_images(model: Path, fresh: Path, tmp_path: Path) -> None:
    status, _, err = run_command(
        "evaluate", model, "--data", fresh, "--suite", "--limit", 3, "--out", tmp_path / "suite"
    )
    assert status == 0, err
    assert "all of its 300 images are used" in err


def test_verify_asks_for_a_better_reading(model: Path, fresh: Path, tmp_path: Path) -> None:
    status, out, err = run_command("verify", model, "--data", fresh)
    assert (status, err.count("error")) == (0, 0)
    assert "reading: as given" in out
    labels = ("--labels", REVERSED)
    status, out, err = run_command("verify", model, model, "--data", fresh, *labels)
    assert status == 1
    assert "parity passed" in out  # both sides read the same wrong labels
    assert "with labels reversed" in out
    assert "reads these images better in another way; it does so without --labels\n" in err
    assert "note: --labels given here: the file itself reads its images in another way" in out
    inverted = copy_of(fresh, tmp_path / "inverted", "inverted")
    status, out, err = run_command("verify", model, "--data", inverted, "--json")
    assert status == 1
    found = json.loads(out)["reading"]
    assert found["passed"] is False
    assert found["better"]["accuracy"] > found["better"]["as_given"] + 0.2
    options = found["better"]["options"]
    assert options.startswith("--scale=-1/255 --bias 1")
    assert run_command("verify", model, "--data", inverted, *options.split())[0] == 0


def test_turned_images_have_no_option(model: Path, fresh: Path, tmp_path: Path) -> None:
    mirrored = copy_of(fresh, tmp_path / "mirrored", "mirrored")
    status, out, err = run_command("verify", model, "--data", mirrored)
    assert status == 1
    assert "; with mirrored images 9" in out or "; with images" in out
    assert "turn the images, or train the model on images like these" in err


def test_the_options_reach_evaluate(model: Path, fresh: Path) -> None:
    out = output_of("evaluate", model, "--data", fresh, "--scale", "0", "--bias", "0.5")
    assert out.startswith("WARNING: every one of 300 images gets the same label, '")
    assert f"the wrong way? pocketlens verify {model} --data {fresh}" in out
    found = json.loads(
        output_of("evaluate", model, "--data", fresh, "--labels", REVERSED, "--json")
    )
    assert found["accuracy"] < 0.6
    assert "labels must be 3 different names, one for each class; received 2: 'a', 'b'" in (
        error_of("evaluate", model, "--data", fresh, "--labels", "a,b")
    )
    assert "unknown input.color 'grey'; did you mean 'gray'" in (
        error_of("evaluate", model, "--data", fresh, "--color", "grey")
    )


def test_the_options_as_values(tmp_path: Path) -> None:
    given = InputOptions(scale="1/255,0.5,-2", bias="-1", color="bgr")
    assert given.values() == {"color": "bgr", "scale": (1 / 255, 0.5, -2.0), "bias": (-1.0,)}
    assert given.given == ("--scale", "--bias", "--color")
    assert given.names() is None
    assert InputOptions(labels="a, b").names() == ("a", "b")
    (tmp_path / "names.txt").write_text("x\ny\n")
    assert InputOptions(labels=str(tmp_path / "names.txt")).names() == ("x", "y")
    for wrong in ("1/0", "one", ""):
        with pytest.raises(OptionError, match=r"--scale must be a number, a fraction such as"):
            InputOptions(scale=wrong).values()


def test_what_is_assumed_is_said() -> None:
    from pocketlens.cli.inputs import assumed_text

    foreign = InputSpec.assuming(4, 4, "rgb", scale=1 / 255)
    assert assumed_text(foreign) == (
        "assumed, as the file does not say it: bias 0, crop center-crop, ink dark"
    )
    assert assumed_text(InputSpec(4, 4)) is None


@pytest.mark.parametrize("command", ["predict", "evaluate", "verify", "preview"])
def test_commands_limit_the_time_of_a_run(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each command that runs a Core ML file passes the limit on."""

    class Loaded(PocketlensError):
        """What the stand-in for `load` raises."""

    def load(path: object, **options: object) -> None:
        assert options == {"time_limit": 7.5}
        raise Loaded("loaded")

    assert default_time_limit() == 60
    monkeypatch.setattr("pocketlens.model_files.load", load)
    monkeypatch.setenv("POCKETLENS_TIME_LIMIT", "7.5")
    model = tmp_path / "m.mlmodel"
    model.write_bytes(b"")
    given = {"verify": [str(model), str(model)], "predict": [str(model), "a.png"]}
    assert "loaded" in error_of(command, *given.get(command, [str(model)]))
    monkeypatch.setenv("POCKETLENS_TIME_LIMIT", "soon")
    with pytest.raises(OptionError, match="POCKETLENS_TIME_LIMIT is 'soon'; expected a positive"):
        default_time_limit()
