"""Names, identifiers and what recognizer.json holds."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketlens.app import check_options
from pocketlens.app.spec import AppSpec, Display, RecognizerSpec, oldest_ios, suggest_name
from pocketlens.errors import AppError, OptionError
from pocketlens.image import InputSpec
from pocketlens.prediction import Predictor, Thresholds

AWKWARD = ('say "hi"', "back\\slash", "🦊", "שלום", "a/b", "new\nline", "«name»", "$(x)", "</a>")


@pytest.mark.parametrize("name", ["Digits", "D", "My_App2", "A" * 40])
def test_names_that_serve(name: str) -> None:
    assert check_options(name) == []


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("my digits", "MyDigits"),
        ("3d", "App3d"),
        ("", "MyApp"),
        ("数字", "MyApp"),
        ("class", "ClassApp"),
        ("Vision", "VisionApp"),
        ("Makefile", "MakefileApp"),
        ("a/../b", "AB"),
        ("A" * 41, "A" * 40),
        ("Digits\n", "Digits"),
    ],
)
def test_names_that_do_not_serve_come_with_one_that_does(name: str, better: str) -> None:
    (fault,) = check_options(name)
    assert repr(name) in fault
    assert fault.endswith(f"try --name {better}")
    assert check_options(better) == []


@pytest.mark.parametrize("file", ["mnist digits-2.mlpackage", "3.mlmodel", "数字.mlpackage"])
def test_every_file_name_suggests_a_usable_name(file: str) -> None:
    assert check_options(suggest_name(file)) == []


@pytest.mark.parametrize("bundle_id", ["org.example.Digits", "a.b", "com.me.my-app2"])
def test_bundle_ids_that_serve(bundle_id: str) -> None:
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
def test_bundle_ids_that_do_not_serve(bundle_id: str, better: str) -> None:
    (fault,) = check_options(bundle_id=bundle_id)
    assert repr(bundle_id) in fault
    assert fault.endswith(f"try --bundle-id {better}")
    assert check_options(bundle_id=better) == []


@pytest.mark.parametrize("team", ["", "A1B2C3D4E", "a1b2c3d4e5", "A1B2C3D4E55", "A1B2C3D4É5"])
def test_teams_that_do_not_serve(team: str) -> None:
    (fault,) = check_options(team=team)
    assert fault.startswith("a team id is 10 capital letters and digits")
    assert repr(team) in fault


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(OptionError) as caught:
        AppSpec("my app", "digits", "me")
    message = str(caught.value)
    for part in ("--name MyApp", "--bundle-id example.digits", "10 capital letters"):
        assert part in message


def test_without_a_bundle_id_the_team_makes_it_unique() -> None:
    assert AppSpec("My_App").bundle_id_setting == "com.example.My-App$(DEVELOPMENT_TEAM)"
    assert AppSpec("Digits", "a.b").bundle_id_setting == "a.b"


def test_the_oldest_ios_for_a_model() -> None:
    assert [oldest_ios(version) for version in (1, 4, 9, 10)] == [18, 18, 18, 26]
    with pytest.raises(AppError, match="version 11 is newer than any iOS known here"):
        oldest_ios(11)


class Model(Predictor):
    """A predictor of these classes that is never asked."""

    def __init__(
        self,
        classes: tuple[str, ...],
        input_spec: InputSpec | None = None,
        thresholds: Thresholds | None = None,
    ) -> None:
        self.classes = classes
        self.input_spec = input_spec or InputSpec(28, 28)
        self.thresholds = thresholds or Thresholds()

    classes = ()  # type: ignore[assignment]
    input_spec = InputSpec(1, 1)  # type: ignore[assignment]
    thresholds = Thresholds()  # type: ignore[assignment]

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise AssertionError(f"asked about {len(images)} images")


def test_the_models_own_thresholds_are_the_apps() -> None:
    spec = RecognizerSpec.of("Digits", Model(("a", "b"), thresholds=Thresholds(0.83, 0.61, 0.94)))
    assert json.loads(spec.to_json())["thresholds"] == {
        "show": 0.83,
        "keep": 0.61,
        "present": 0.94,
        "margin": 0.2,
        "hold": 3,
        "smoothing": 0.3,
    }


def test_recognizer_json_comes_back_the_same() -> None:
    spec = RecognizerSpec.of(
        "Digits", Model((*AWKWARD, "nothing"), InputSpec(28, 20, "rgb", crop="fit"))
    )
    text = spec.to_json()
    assert RecognizerSpec.from_json(text) == spec
    assert json.loads(text)["classes"][: len(AWKWARD)] == list(AWKWARD)
    assert spec.background == "nothing"


def test_without_the_class_nothing_there_is_no_background() -> None:
    spec = RecognizerSpec.of("Digits", Model(("a", "b")))
    assert json.loads(spec.to_json())["background"] is None


def test_ten_thousand_classes() -> None:
    classes = tuple(f"class {i}" for i in range(10_000))
    spec = RecognizerSpec.of("Many", Model(classes))
    assert RecognizerSpec.from_json(spec.to_json()).classes == classes


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ((), "needs a model with classes"),
        (("a", "b", "a"), "received twice: a;"),
        (("caf\u00e9", "cafe\u0301"), "Unicode NFC"),
    ],
)
def test_classes_that_the_app_could_not_tell_apart(classes: tuple[str, ...], message: str) -> None:
    with pytest.raises(AppError, match=message):
        RecognizerSpec.of("Digits", Model(classes))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"show": 1.5}, "thresholds.show is a number from 0 to 1; received: 1.5"),
        ({"keep": 0.9}, "thresholds.keep is at most thresholds.show; received: 0.9 over 0.7"),
        ({"smoothing": 0}, "thresholds.smoothing is above 0"),
        ({"hold": 0}, "thresholds.hold is a count of at least 1; received: 0"),
        ({"margin": True}, "thresholds.margin is a number"),
    ],
)
def test_thresholds_out_of_range(values: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Display(**values)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"model": "Recognizer", "classes": [1], "name": "x"}', "[" * 5000]
)
def test_text_that_is_no_recognizer(text: str) -> None:
    with pytest.raises(AppError):
        RecognizerSpec.from_json(text)
