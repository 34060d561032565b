"""From a Core ML file to an app, end to end."""

import json
import plistlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.classifiers import save_classifier, save_create_ml_classifier
from pocketlens.app import check_app, create_app
from pocketlens.app.contents import app_contents
from pocketlens.app.names import AppSpec
from pocketlens.app.writer import MANIFEST, write_app
from pocketlens.coreml import load
from pocketlens.errors import (
    AppError,
    ImageError,
    ModelFileError,
    OptionError,
    OutputExistsError,
)
from pocketlens.image import InputSpec


def all_files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_digits_app_has_no_problems(digits_app: Path) -> None:
    assert check_app(digits_app) == []


def test_the_app_contains_one_exact_copy_of_the_model(digits_app: Path, digits_model: Path) -> None:
    assert all_files(digits_app / "Digits/Recognizer.mlpackage") == all_files(digits_model)
    assert len(list(digits_app.rglob("*.mlpackage"))) == 1


def test_recognizer_json_matches_the_model(digits_app: Path, digits_model: Path) -> None:
    values = json.loads((digits_app / "Digits/recognizer.json").read_text(encoding="utf-8"))
    model = load(digits_model)
    assert tuple(values["classes"]) == model.classes
    assert InputSpec.from_dict(values["input"]) == model.input_spec
    assert values["background"] == "nothing"
    assert values["thresholds"] == {
        "show": 0.7,
        "keep": 0.5,
        "present": 0.5,
        "margin": 0.2,
        "hold": 3,
        "smoothing": 0.3,
    }


def test_the_fixtures_contain_the_predictions_of_the_model(
    digits_app: Path, digits_model: Path
) -> None:
    folder = digits_app / "DigitsTests"
    listing = json.loads((folder / "fixtures.json").read_text())
    model = load(digits_model)
    assert listing["tolerance"] == 0.05
    names = [picture["file"] for picture in listing["pictures"]]
    assert names == ["stroke.png", "ring.png", "gradient.png", "wide.png"]
    for picture in listing["pictures"]:
        answer = model.predict(folder / picture["file"])
        assert [row["label"] for row in picture["top"]] == [name for name, _ in answer.top(5)]
        for row in picture["top"]:
            assert row["probability"] == pytest.approx(answer.probabilities[row["label"]], abs=1e-4)


def test_the_wide_fixture_detects_a_wrong_crop(digits_app: Path) -> None:
    listing = json.loads((digits_app / "DigitsTests/fixtures.json").read_text())
    answers = {picture["file"]: picture["top"] for picture in listing["pictures"]}
    assert answers["wide.png"] == answers["ring.png"]
    assert answers["wide.png"] != answers["gradient.png"]


def test_writing_the_app_twice_gives_identical_files(
    digits_app: Path, digits_model: Path, tmp_path: Path
) -> None:
    again = create_app(digits_model, tmp_path / "again", name="Digits")
    assert all_files(again) == all_files(digits_app)


def test_team_and_bundle_id_are_written_to_the_xcconfig(digits_model: Path, tmp_path: Path) -> None:
    app = create_app(
        digits_model,
        tmp_path / "app",
        name="Mine",
        bundle_id="org.example.mine",
        team="A1B2C3D4E5",
    )
    settings = (app / "App.xcconfig").read_text()
    assert "APP_BUNDLE_ID = org.example.mine\n" in settings
    assert "DEVELOPMENT_TEAM = A1B2C3D4E5\n" in settings
    assert check_app(app) == []


def test_the_default_name_comes_from_the_file_name(digits_model: Path, tmp_path: Path) -> None:
    app = create_app(digits_model, tmp_path / "anything")
    assert (app / "Digits.xcodeproj").is_dir()
    assert (
        "APP_BUNDLE_ID = com.example.Digits$(DEVELOPMENT_TEAM)\n"
        in (app / "App.xcconfig").read_text()
    )


def test_an_rgb_classifier_with_a_thousand_classes_and_special_characters(tmp_path: Path) -> None:
    awkward = ('"quoted"', "🦊 fox", "שלום", "a\\b", "«name»", "line\nbreak", "$(TARGET)")
    classes = (*awkward, *(f"class {i}" for i in range(1000 - len(awkward))))
    spec = InputSpec(224, 224, "rgb", scale=(1 / 255,) * 3, crop="fit")
    model = save_classifier(tmp_path / "Things.mlpackage", spec=spec, classes=classes, half=False)
    app = create_app(model, tmp_path / "app")
    assert check_app(app) == []
    values = json.loads((app / "Things/recognizer.json").read_text(encoding="utf-8"))
    assert tuple(values["classes"]) == classes
    assert values["background"] is None
    fixtures = json.loads((app / "ThingsTests/fixtures.json").read_text(encoding="utf-8"))
    assert fixtures["tolerance"] == 0.02
    assert not (app / "ThingsTests/wide.png").exists()
    for path in app.rglob("*.swift"):
        assert "fox" not in path.read_text(encoding="utf-8")


def test_a_neural_network_file(tmp_path: Path) -> None:
    model = save_classifier(
        tmp_path / "Old.mlmodel", spec=InputSpec(28, 28, "bgr"), classes=("a", "b")
    )
    app = create_app(model, tmp_path / "app")
    assert check_app(app) == []
    assert (app / "Old/Recognizer.mlmodel").read_bytes() == model.read_bytes()
    assert json.loads((app / "OldTests/fixtures.json").read_text())["tolerance"] == 0.05


def test_force_replaces_the_model_and_keeps_the_users_changes(
    digits_model: Path, tmp_path: Path
) -> None:
    app = create_app(digits_model, tmp_path / "app", name="Digits")
    (app / "Digits/Mine.swift").write_text("// mine\n")
    screen = app / "Digits/Screens/CameraScreen.swift"
    screen.write_text(screen.read_text() + "// changed\n")
    (app / "Digits/recognizer.json").write_text("{}")
    newer = save_classifier(
        tmp_path / "Newer.mlmodel", spec=InputSpec(20, 20), classes=("one", "two")
    )
    with pytest.raises(OutputExistsError, match="add --force"):
        create_app(newer, app, name="Digits")
    with pytest.warns(
        UserWarning, match="files that you changed were kept.*Digits/recognizer.json"
    ):
        create_app(newer, app, name="Digits", force=True)
    assert (app / "Digits/Recognizer.mlmodel").is_file()
    assert not (app / "Digits/Recognizer.mlpackage").exists()
    assert (app / "Digits/Mine.swift").read_text() == "// mine\n"
    assert screen.read_text().endswith("// changed\n")
    (app / "Digits/recognizer.json").unlink()
    create_app(newer, app, name="Digits", force=True)
    assert check_app(app) == []


def test_force_keeps_the_earlier_options(digits_model: Path, tmp_path: Path) -> None:
    app = tmp_path / "app"
    create_app(digits_model, app, name="Mine", bundle_id="org.example.mine", team="A1B2C3D4E5")
    newer = save_classifier(
        tmp_path / "Newer.mlmodel", spec=InputSpec(20, 20), classes=("one", "two")
    )
    create_app(newer, app, team="ZZZZZZZZZZ", force=True)
    assert [path.name for path in app.glob("*.xcodeproj")] == ["Mine.xcodeproj"]
    settings = (app / "App.xcconfig").read_text()
    assert "APP_BUNDLE_ID = org.example.mine\n" in settings
    assert "DEVELOPMENT_TEAM = ZZZZZZZZZZ\n" in settings
    assert check_app(app) == []


def test_force_with_another_name_renames_the_app(digits_model: Path, tmp_path: Path) -> None:
    app = create_app(digits_model, tmp_path / "app", name="Old")
    create_app(digits_model, app, name="New", force=True)
    assert not (app / "Old").exists()
    assert not (app / "Old.xcodeproj").exists()
    assert check_app(app) == []


def test_options_in_a_manifest_are_validated(digits_model: Path, tmp_path: Path) -> None:
    app = create_app(digits_model, tmp_path / "app", name="Digits")
    manifest = json.loads((app / MANIFEST).read_text())
    (app / MANIFEST).write_text(json.dumps(manifest | {"options": {"name": "../x"}}))
    with pytest.raises(OptionError, match=r"received: '\.\./x'"):
        create_app(digits_model, app, force=True)
    (app / MANIFEST).write_text(json.dumps(manifest | {"options": []}))
    with pytest.raises(AppError, match="is damaged"):
        create_app(digits_model, app, force=True)


def test_a_model_for_ios_26_creates_an_app_for_ios_26(digits_model: Path, tmp_path: Path) -> None:
    from coremltools.proto import Model_pb2

    newer = tmp_path / "Newer.mlpackage"
    shutil.copytree(digits_model, newer)
    (path,) = newer.rglob("*.mlmodel")
    specification = Model_pb2.Model.FromString(path.read_bytes())
    specification.specificationVersion = 10
    path.write_bytes(specification.SerializeToString())
    app = create_app(newer, tmp_path / "app")
    project = (app / "Newer.xcodeproj/project.pbxproj").read_text()
    assert project.count("IPHONEOS_DEPLOYMENT_TARGET = 26.0;") == 2
    assert "iOS 26 or newer" in (app / "README.md").read_text()
    assert "runs-on: macos-26" in (app / ".github/workflows/build.yml").read_text()
    assert check_app(app) == []


def test_writing_takes_less_than_a_second_of_cpu_time(digits_model: Path, tmp_path: Path) -> None:
    model = load(digits_model)
    start = time.process_time()
    contents = app_contents(AppSpec("Digits"), model, digits_model, half_precision=True)
    write_app(tmp_path / "app", contents, force=False)
    assert time.process_time() - start < 1


def test_options_are_validated_before_the_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="try --name 'my app'.*10 capital letters"):
        create_app(tmp_path / "gone.mlpackage", tmp_path / "app", name="my/app", team="x")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError):
        create_app(tmp_path / "gone.mlpackage", tmp_path / "app", name="Digits")
    assert not (tmp_path / "app").exists()


def test_a_model_without_an_image_input_is_rejected(tmp_path: Path) -> None:
    import coremltools as ct
    from coremltools.models import datatypes
    from coremltools.models.neural_network import NeuralNetworkBuilder

    builder = NeuralNetworkBuilder([("x", datatypes.Array(3))], [("y", datatypes.Array(3))])
    builder.add_activation("relu", "RELU", "x", "y")
    path = tmp_path / "Relu.mlmodel"
    ct.models.utils.save_spec(builder.spec, str(path))
    with pytest.raises(AppError) as caught:
        create_app(path, tmp_path / "app")
    message = str(caught.value)
    assert (
        f"{path} is not an image classifier: it is a neural network with inputs: x (array); "
        "outputs: y (array);"
    ) in message
    assert f"for details: pocketlens inspect {path}" in message
    assert not (tmp_path / "app").exists()


def test_an_image_model_without_classes_is_rejected(tmp_path: Path) -> None:
    import coremltools as ct
    from coremltools.models import datatypes
    from coremltools.models.neural_network import NeuralNetworkBuilder

    builder = NeuralNetworkBuilder(
        [("picture", datatypes.Array(1, 8, 8))], [("y", datatypes.Array(1, 8, 8))]
    )
    builder.add_activation("relu", "RELU", "picture", "y")
    builder.set_pre_processing_parameters(image_input_names=["picture"])
    image = builder.spec.description.input[0].type.imageType
    image.colorSpace = image.GRAYSCALE
    path = tmp_path / "Relu.mlmodel"
    ct.models.utils.save_spec(builder.spec, str(path))
    with pytest.raises(AppError, match=r"with inputs: picture \(image\); outputs: y \(array\);"):
        create_app(path, tmp_path / "app")


def test_a_symbolic_link_in_the_package_is_rejected(digits_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "Linked.mlpackage"
    shutil.copytree(digits_model, copy)
    (copy / "Data/extra").symlink_to("/etc")
    with pytest.raises((AppError, ModelFileError)):
        create_app(copy, tmp_path / "app")
    assert not (tmp_path / "app").exists()


def test_the_privacy_manifest_declares_user_defaults_and_no_data_collection(
    digits_app: Path,
) -> None:
    manifest = plistlib.loads((digits_app / "Digits/PrivacyInfo.xcprivacy").read_bytes())
    assert manifest == {
        "NSPrivacyTracking": False,
        "NSPrivacyTrackingDomains": [],
        "NSPrivacyCollectedDataTypes": [],
        "NSPrivacyAccessedAPITypes": [
            {
                "NSPrivacyAccessedAPIType": "NSPrivacyAccessedAPICategoryUserDefaults",
                "NSPrivacyAccessedAPITypeReasons": ["CA92.1"],
            }
        ],
    }


def test_a_title_with_spaces_and_umlauts(digits_model: Path, tmp_path: Path) -> None:
    title = "Über Äpfel (neu)"
    app = create_app(digits_model, tmp_path / "app", name=title)
    assert check_app(app) == []
    project = (app / "UberApfelNeu.xcodeproj/project.pbxproj").read_text("utf-8")
    assert f'INFOPLIST_KEY_CFBundleDisplayName = "{title}";' in project
    assert f'"{title} uses the camera' in project
    assert "APP_BUNDLE_ID = com.example.UberApfelNeu$(" in (app / "App.xcconfig").read_text()
    assert json.loads((app / "UberApfelNeu/recognizer.json").read_text("utf-8"))["name"] == title
    assert (app / "README.md").read_text("utf-8").startswith(f"# {title}\n")
    texts = json.loads((app / "UberApfelNeu/InfoPlist.xcstrings").read_text("utf-8"))
    german = texts["strings"]["NSCameraUsageDescription"]["localizations"]["de"]
    assert german["stringUnit"]["value"].startswith(f"{title} benutzt die Kamera")
    create_app(digits_model, app, force=True)
    assert "UberApfelNeu.xcodeproj" in [path.name for path in app.iterdir()]
    assert check_app(app) == []


def test_the_app_declares_that_it_uses_no_encryption(digits_app: Path) -> None:
    project = (digits_app / "Digits.xcodeproj/project.pbxproj").read_text()
    assert project.count("INFOPLIST_KEY_ITSAppUsesNonExemptEncryption = NO;") == 2


def test_the_app_has_a_license_that_asks_for_nothing(digits_app: Path) -> None:
    assert (digits_app / "LICENSE").read_text().startswith("MIT No Attribution\n")
    assert "`LICENSE`, MIT No Attribution" in (digits_app / "README.md").read_text()


def test_the_icon_has_a_dark_and_a_tinted_variant(digits_app: Path) -> None:
    icons = digits_app / "Digits/Assets.xcassets/AppIcon.appiconset"
    listed = json.loads((icons / "Contents.json").read_text())["images"]
    variants = {
        image["filename"]: [each["value"] for each in image.get("appearances", [])]
        for image in listed
    }
    assert variants == {
        "AppIcon.png": [],
        "AppIcon-Dark.png": ["dark"],
        "AppIcon-Tinted.png": ["tinted"],
    }
    modes = {}
    for name in variants:
        with Image.open(icons / name) as image:
            assert image.size == (1024, 1024)
            modes[name] = image.mode
    assert modes == {"AppIcon.png": "RGB", "AppIcon-Dark.png": "RGBA", "AppIcon-Tinted.png": "L"}
    with Image.open(icons / "AppIcon-Dark.png") as image:
        alpha = image.getchannel("A").getextrema()
    assert alpha == (0, 255)


def test_an_image_classifier_of_create_ml_gets_an_app_that_was_not_checked(tmp_path: Path) -> None:
    file = save_create_ml_classifier(tmp_path / "Animals.mlmodel", ("cat", "dog"))
    with pytest.warns(UserWarning, match="the model was not checked: .*Vision feature print"):
        app = create_app(file, tmp_path / "app")
    assert (app / "Animals/Recognizer.mlmodel").read_bytes() == file.read_bytes()
    recognizer = json.loads((app / "Animals/recognizer.json").read_text())
    assert recognizer["classes"] == ["cat", "dog"]
    assert (recognizer["input"]["height"], recognizer["input"]["color"]) == (299, "rgb")
    fixtures = json.loads((app / "AnimalsTests/fixtures.json").read_text())
    assert [picture["top"] for picture in fixtures["pictures"]] == [[]] * 4
    assert "**This model was not run" in (app / "README.md").read_text()
    with pytest.warns(UserWarning, match="the model was not checked"):
        assert check_app(app) == []


def test_an_app_of_a_checked_model_does_not_say_otherwise(digits_app: Path) -> None:
    assert "was not run" not in (digits_app / "README.md").read_text()


def test_a_classifier_with_custom_code_is_rejected(tmp_path: Path) -> None:
    file = save_create_ml_classifier(tmp_path / "Own.mlmodel", ("cat", "dog"), custom=True)
    with pytest.raises(AppError, match=r"needs something that is not in the file \(custom model\)"):
        create_app(file, tmp_path / "app")
    assert not (tmp_path / "app").exists()


def test_torch_coremltools_and_matplotlib_are_not_imported(
    digits_model: Path, tmp_path: Path
) -> None:
    program = (
        "import sys; from pocketlens.app import check_app, create_app; "
        f"assert check_app(create_app({str(digits_model)!r}, {str(tmp_path / 'app')!r})) == []; "
        "print(sorted({'torch', 'coremltools.converters', 'matplotlib'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "[]\n", "")


def test_ink_and_crop_can_be_given(digits_model: Path, tmp_path: Path) -> None:
    app = create_app(digits_model, tmp_path / "app", name="Digits", ink="light", crop="fit")
    described = json.loads((app / "Digits/recognizer.json").read_text())["input"]
    assert (described["ink"], described["crop"]) == ("light", "fit")
    create_app(digits_model, app, crop="fill", force=True)  # the ink is remembered
    described = json.loads((app / "Digits/recognizer.json").read_text())["input"]
    assert (described["ink"], described["crop"]) == ("light", "fill")
    with pytest.raises(OptionError, match="unknown input.ink 'blue'"):
        create_app(digits_model, tmp_path / "other", ink="blue")


def test_an_icon_of_pictures(digits_model: Path, tmp_path: Path) -> None:
    """Three pictures are side by side, of four each has a quarter; the letter is not drawn."""
    colors = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (9, 9, 9)]
    pictures = [np.full((30, 50, 3), color, np.uint8) for color in colors]
    Image.fromarray(pictures[0]).save(tmp_path / "red.png")
    app = create_app(
        digits_model, tmp_path / "app", pictures=[tmp_path / "red.png", *pictures[1:3]]
    )
    assert check_app(app) == []

    def pixels(app: Path, name: str, *places: tuple[int, int]) -> list[object]:
        (path,) = app.glob(f"*/Assets.xcassets/AppIcon.appiconset/{name}")
        with Image.open(path) as icon:
            assert icon.size == (1024, 1024)
            return [icon.getpixel(place) for place in places]

    across = [(60, 500), (512, 500), (960, 500)]
    expected = [(225, 0, 0), (0, 225, 0), (0, 0, 225)]
    assert pixels(app, "AppIcon.png", *across) == expected
    assert pixels(app, "AppIcon-Dark.png", across[0]) == [(150, 0, 0, 255)]
    assert pixels(app, "AppIcon.png", (176, 250)) == [(255, 255, 255)], "a corner of the viewfinder"
    app = create_app(digits_model, tmp_path / "app", pictures=pictures, force=True)
    corners = [(60, 60), (960, 60), (60, 960), (960, 960)]
    assert pixels(app, "AppIcon.png", *corners) == [*expected, (225, 225, 0)]
    assert check_app(app) == []
    with pytest.raises(ImageError):
        create_app(digits_model, tmp_path / "other", pictures=[tmp_path / "nowhere.png"])
    assert not (tmp_path / "other").exists()
