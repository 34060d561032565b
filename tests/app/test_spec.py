"""Names, identifiers, and the contents of recognizer.json."""

import json
import shlex
import unicodedata
from typing import Any

import pytest

from pocketlens.app import check_options
from pocketlens.app.names import AppSpec, oldest_ios, suggest_name
from pocketlens.app.spec import Display, RecognizerSpec
from pocketlens.errors import AppError, OptionError
from pocketlens.image import InputSpec
from pocketlens.prediction import Thresholds
from predictors import GivenPredictor

AWKWARD = ('say "hi"', "back\\slash", "🦊", "שלום", "a/b", "new\nline", "«name»", "$(x)", "</a>")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Digits", "Digits"),
        ("D", "D"),
        ("My_App2", "My_App2"),
        ("A" * 40, "A" * 40),
        ("Digit Lens", "DigitLens"),
        ("Über Äpfel", "UberApfel"),
        ("U\u0308ber", "Uber"),  # decomposed, as macOS writes file names
        ("Straße & Łódź", "StrasseLodz"),
        ("Qu'est-ce ?", "QuEstCe"),
        ("3d", "App3d"),
        ("数字", "MyApp"),
        ("ตัวเลข", "MyApp"),
        ("class", "ClassApp"),
        ("Vision", "VisionApp"),
        ("Makefile", "MakefileApp"),
        ("_x", "X"),
    ],
)
def test_the_target_has_an_identifier_derived_from_the_title(title: str, name: str) -> None:
    assert check_options(title) == []
    spec = AppSpec(title)
    assert spec.name == name
    assert spec.title == unicodedata.normalize("NFC", title)


@pytest.mark.parametrize(
    ("title", "better"),
    [
        ("", "MyApp"),
        (" ", "MyApp"),
        ("---", "MyApp"),
        ("a/../b", "'a .. b'"),
        ("A" * 41, "A" * 40),
        ("Digits\n", "Digits"),
        (" Digits", "Digits"),
        ("Two  Spaces", "'Two Spaces'"),
        ('say "hi"', "'say hi'"),
        ("pay $(rent)", "'pay (rent)'"),
        ("back\\slash", "'back slash'"),
        ("«name»", "name"),
        ("bold\x1b[1m", "'bold 1m'"),
        ("left\u202eright", "'left right'"),
    ],
)
def test_an_invalid_name_is_rejected_with_a_valid_suggestion(title: str, better: str) -> None:
    (problem,) = check_options(title)
    assert repr(title) in problem
    assert problem.endswith(f"try --name {better}")
    assert check_options(*shlex.split(better)) == []


@pytest.mark.parametrize("file", ["mnist digits-2.mlpackage", "3.mlmodel", "数字.mlpackage"])
def test_every_file_name_suggests_a_valid_name(file: str) -> None:
    assert check_options(suggest_name(file)) == []


@pytest.mark.parametrize("bundle_id", ["org.example.Digits", "a.b", "com.me.my-app2"])
def test_valid_bundle_ids(bundle_id: str) -> None:
    assert check_options(bundle_id=bundle_id) == []


@pytest.mark.parametrize(
    ("bundle_id", "better"),
    [
        ("Digits", "example.Digits"),
        ("org.example.my app", "org.example.my-app"),
        ("org..digits", "org.digits"),
        ("org.example.app_1", "org.example.app-1"),
        ("", "com.example"),
        ("a." + "b" * 200, "a." + "b" * 153),
    ],
)
def test_an_invalid_bundle_id_is_rejected_with_a_valid_suggestion(
    bundle_id: str, better: str
) -> None:
    (problem,) = check_options(bundle_id=bundle_id)
    assert repr(bundle_id) in problem
    assert problem.endswith(f"try --bundle-id {better}")
    assert check_options(bundle_id=better) == []


@pytest.mark.parametrize("team", ["", "A1B2C3D4E", "a1b2c3d4e5", "A1B2C3D4E55", "A1B2C3D4É5"])
def test_an_invalid_team_is_rejected(team: str) -> None:
    (problem,) = check_options(team=team)
    assert problem.startswith("a team id must be 10 capital letters and digits")
    assert repr(team) in problem


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(OptionError) as caught:
        AppSpec("my/app", "digits", "me")
    message = str(caught.value)
    for part in ("--name 'my app'", "--bundle-id example.digits", "10 capital letters"):
        assert part in message


def test_without_a_bundle_id_the_team_makes_it_unique() -> None:
    assert AppSpec("My_App").bundle_id_setting == "com.example.My-App$(DEVELOPMENT_TEAM)"
    assert AppSpec("Digits", "a.b").bundle_id_setting == "a.b"


def test_the_oldest_ios_for_a_model() -> None:
    assert [oldest_ios(version) for version in (1, 4, 9, 10)] == [18, 18, 18, 26]
    with pytest.raises(AppError, match="version 11 is newer than every known iOS version"):
        oldest_ios(11)


def test_the_app_uses_the_thresholds_of_the_model() -> None:
    spec = RecognizerSpec.of(
        "Digits", GivenPredictor(("a", "b"), thresholds=Thresholds(0.83, 0.61, 0.94))
    )
    assert json.loads(spec.to_json())["thresholds"] == {
        "show": 0.83,
        "keep": 0.61,
        "present": 0.94,
        "margin": 0.2,
        "hold": 3,
        "smoothing": 0.3,
    }


def test_recognizer_json_round_trip() -> None:
    spec = RecognizerSpec.of(
        "Digits", GivenPredictor((*AWKWARD, "nothing"), InputSpec(28, 20, "rgb", crop="fit"))
    )
    text = spec.to_json()
    assert RecognizerSpec.from_json(text) == spec
    assert json.loads(text)["classes"][: len(AWKWARD)] == list(AWKWARD)
    assert spec.background == "nothing"


def test_a_model_without_the_class_nothing_has_no_background() -> None:
    spec = RecognizerSpec.of("Digits", GivenPredictor(("a", "b")))
    assert json.loads(spec.to_json())["background"] is None


def test_ten_thousand_classes() -> None:
    classes = tuple(f"class {i}" for i in range(10_000))
    spec = RecognizerSpec.of("Many", GivenPredictor(classes))
    assert RecognizerSpec.from_json(spec.to_json()).classes == classes


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ((), "the model has no classes"),
        (("a", "b", "a"), "duplicates: a;"),
        (("caf\u00e9", "cafe\u0301"), "Unicode NFC"),
    ],
)
def test_missing_or_duplicate_classes_are_rejected(classes: tuple[str, ...], message: str) -> None:
    with pytest.raises(AppError, match=message):
        RecognizerSpec.of("Digits", GivenPredictor(classes))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"show": 1.5}, "thresholds.show must be a number from 0 to 1; received: 1.5"),
        ({"keep": 0.9}, "must not be larger than thresholds.show; received: keep 0.9, show 0.7"),
        ({"smoothing": 0}, "thresholds.smoothing must be larger than 0"),
        ({"hold": 0}, "thresholds.hold must be an integer of at least 1; received: 0"),
        ({"margin": True}, "thresholds.margin must be a number"),
    ],
)
def test_thresholds_out_of_range(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Display(**values)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"model": "Recognizer", "classes": [1], "name": "x"}', "[" * 5000]
)
def test_invalid_recognizer_json_is_rejected(text: str) -> None:
    with pytest.raises(AppError):
        RecognizerSpec.from_json(text)
