"""The text of the Xcode project: read by our parser and by two independent ones."""

from pathlib import Path

import pytest
from kin.kin import check_errors  # type: ignore[import-untyped]  # ships no type hints
from openstep_parser import OpenStepDecoder  # type: ignore[import-untyped]  # ships no type hints

from pocketlens.app.names import AppSpec
from pocketlens.app.pbxproj import ParseError, XcodeProject, parse, quoted
from pocketlens.app.project import build_project


@pytest.fixture
def text() -> str:
    return build_project(AppSpec("Digits")).text


def test_other_parsers_accept_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "project.pbxproj"
    path.write_text(text, encoding="utf-8")
    assert check_errors(str(path)) == []
    with path.open(encoding="utf-8") as file:
        assert OpenStepDecoder.ParseFromFile(file) == parse(text)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("isa = PBXNativeTarget;", "isa = PBXNativeTraget;"),
        ('productType = "com.apple.product-type.application";', ""),
        ("rootObject = ", "rootObject "),
    ],
)
def test_the_other_parser_detects_errors(text: str, tmp_path: Path, right: str, wrong: str) -> None:
    path = tmp_path / "project.pbxproj"
    path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    assert check_errors(str(path)) != []


def test_ids_are_reproducible_and_differ_between_apps(text: str) -> None:
    assert build_project(AppSpec("Digits")).text == text
    ours = parse(text)["objects"]
    other = parse(build_project(AppSpec("Letters")).text)["objects"]
    assert isinstance(ours, dict)
    assert isinstance(other, dict)
    assert not ours.keys() & other.keys()


def test_a_duplicate_object_is_rejected() -> None:
    project = XcodeProject("Digits")
    project.add("PBXGroup", "main", children=[], sourceTree="<group>")
    with pytest.raises(ValueError, match="already has a PBXGroup called 'main'"):
        project.add("PBXGroup", "main", children=[], sourceTree="<group>")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("Digits_1.app/x", "Digits_1.app/x"),
        ("", '""'),
        ("<group>", '"<group>"'),
        ("$(TARGET_NAME)", '"$(TARGET_NAME)"'),
        ("1,2", '"1,2"'),
        ("-Onone", '"-Onone"'),
        ('say "hi"\\\n', '"say \\"hi\\"\\\\\\n"'),
        ("é", '"é"'),
    ],
)
def test_strings_are_quoted_as_in_xcode_and_parsed_back(value: str, written: str) -> None:
    assert quoted(value) == written
    assert parse(f"{{key = {written};}}") == {"key": value}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{a = <group>;}", "line 1: '<' must be in double quotes"),
        ("{a = 1;\na = 2;}", "line 2: expected the key 'a' only once"),
        ("{a = 1}", "expected ';'; received: '}'"),
        ("{a = (1 2);}", "expected ','; received: '2'"),
        ("{a = ;}", "expected a value; received: ';'"),
        ("{a = 1;", "expected a string; received: 'the end of the file'"),
        ("{} x", "expected the end of the file"),
        ("(a)", "expected a dictionary"),
        ('{a = "open;}', "must be in double quotes"),
        ("{a = " + "(" * 200, "at most 64 levels of nesting"),
        ("", "expected a value"),
    ],
)
def test_a_syntax_error_is_reported_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text)
    assert message in str(caught.value)


def test_team_and_bundle_id_are_not_in_the_project(text: str) -> None:
    spec = AppSpec("Digits", "org.example.mine", "A1B2C3D4E5")
    assert build_project(spec).text == text
