"""The Swift files, as far as they can be checked without Apple's compiler."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app import swift_names
from pocketlens.app import swift

HERE = Path(__file__).parent


def sdk_names() -> dict[str, set[str]]:
    text = (HERE / "sdk_names.txt").read_text(encoding="utf-8")
    groups = re.split(r"^\[(\w+)\]$", text, flags=re.MULTILINE)[1:]
    return {name: set(words.split()) for name, words in zip(groups[::2], groups[1::2], strict=True)}


def swift_files(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.swift"))
    assert found
    return found


@pytest.fixture(scope="module")
def parts(digits_app: Path) -> dict[str, list[Path]]:
    return {
        "app": swift_files(digits_app / "Digits"),
        "app tests": swift_files(digits_app / "DigitsTests"),
        "UI tests": swift_files(digits_app / "DigitsUITests"),
        "kit": swift_files(digits_app / "RecognizerKit/Sources"),
        "kit tests": swift_files(digits_app / "RecognizerKit/Tests"),
    }


def test_every_file_parses_as_swift(digits_app: Path) -> None:
    for path in swift_files(digits_app):
        assert swift.errors(swift.tree(path)) == []


def test_the_parser_detects_syntax_errors(tmp_path: Path) -> None:
    path = tmp_path / "Wrong.swift"
    path.write_text("struct A { func b( { } }\n")
    assert swift.errors(swift.tree(path)) != []


@pytest.mark.parametrize(
    ("part", "sees", "sdk"),
    [
        ("app", ["kit"], ["swift", "foundation", "interface", "camera", "model"]),
        ("app tests", ["app", "kit"], ["swift", "foundation", "testing"]),
        ("UI tests", [], ["swift", "foundation", "ui_tests"]),
        ("kit", [], ["swift"]),
        ("kit tests", ["kit"], ["swift", "testing"]),
    ],
)
def test_every_name_is_declared_somewhere(
    parts: dict[str, list[Path]], part: str, sees: list[str], sdk: list[str]
) -> None:
    known = swift_names.declared(parts[part])
    for other in sees:
        known |= swift_names.declared(parts[other])
    for group in sdk:
        known |= sdk_names()[group]
    known |= {"$0", "$1", "RecognizerKit", "Digits"}
    assert sorted(swift_names.used(parts[part]) - known) == []


def test_a_misspelled_name_is_detected(parts: dict[str, list[Path]], tmp_path: Path) -> None:
    path = tmp_path / "Wrong.swift"
    path.write_text("let tracker = RecognitionTraker(configuration: 1)\n")
    known = swift_names.declared([*parts["kit"], path])
    assert swift_names.used([path]) - known == {"RecognitionTraker"}


def test_every_listed_sdk_name_is_used(parts: dict[str, list[Path]]) -> None:
    used = set().union(*(swift_names.used(files) for files in parts.values()))
    listed = set().union(*sdk_names().values())
    assert sorted(listed - used) == []


def test_types_of_the_package_that_the_app_uses_are_public(parts: dict[str, list[Path]]) -> None:
    declaration = re.compile(r"^(public )?(?:struct|enum) (\w+)", re.MULTILINE)
    found = [match for path in parts["kit"] for match in declaration.findall(path.read_text())]
    private = {name for public, name in found if not public}
    assert {name for _, name in found} >= {"RecognitionTracker", "FrameGeometry", "InputSpec"}
    assert private & swift_names.used([*parts["app"], *parts["kit tests"]]) == set()


def test_the_package_imports_foundation_only(parts: dict[str, list[Path]]) -> None:
    imported = set().union(*(swift_names.imports(path) for path in parts["kit"]))
    assert imported == {"Foundation"}
    tests = set().union(*(swift_names.imports(path) for path in parts["kit tests"]))
    assert tests == {"Foundation", "RecognizerKit", "Testing"}


def user_texts(path: Path) -> set[str]:
    """The string literals that users see: they start with a capital letter or a placeholder."""
    found = set()
    for node in swift.nodes(swift.tree(path)):
        if node.type == "line_string_literal":
            text = swift.text(node).strip('"')
            text = re.sub(r"\\\(.*?\)", "%@", text)
            if re.match("%@ |[A-Z]", text):
                found.add(text)
    return found


def test_the_catalog_contains_exactly_the_texts_in_the_code(digits_app: Path) -> None:
    written = set().union(*map(user_texts, swift_files(digits_app / "Digits")))
    catalog = json.loads((digits_app / "Digits/Localizable.xcstrings").read_text("utf-8"))
    assert written == set(catalog["strings"])


def test_no_class_name_is_in_the_code(digits_app: Path) -> None:
    for path in swift_files(digits_app / "Digits"):
        assert '"nothing"' not in path.read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("swift") is None, reason="no Swift on the PATH")
def test_the_package_builds_and_passes_its_tests(digits_app: Path, tmp_path: Path) -> None:
    package = shutil.copytree(digits_app / "RecognizerKit", tmp_path / "RecognizerKit")
    run = subprocess.run(
        ["swift", "test", "--package-path", str(package)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


SDK = HERE / "sdk"

# Sorted so that each module imports only modules before it.
MODULES = ("CoreGraphics", "ImageIO", "CoreVideo", "CoreML", "Vision", "AVFoundation", "SwiftUI",
           "PhotosUI", "Accessibility", "UIKit")  # fmt: skip


def swiftc(folder: Path, *arguments: str | Path) -> None:
    run = subprocess.run(
        ["swiftc", "-parse-as-library", "-I", folder, *arguments], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "warning:" not in run.stderr, run.stderr


@pytest.mark.skipif(shutil.which("swiftc") is None, reason="no Swift on the PATH")
def test_the_app_type_checks_against_stubs_of_apples_frameworks(
    parts: dict[str, list[Path]], tmp_path: Path
) -> None:
    """In Swift 6 mode with its concurrency rules. `sdk/` contains hand-written stubs."""
    for name in MODULES:
        module = ["-emit-module", "-module-name", name, "-emit-module-path"]
        target = tmp_path / f"{name}.swiftmodule"
        swiftc(tmp_path, "-swift-version", "5", *module, target, SDK / f"{name}.swift")
    kit = ["-emit-module", "-module-name", "RecognizerKit", "-emit-module-path"]
    target = tmp_path / "RecognizerKit.swiftmodule"
    swiftc(tmp_path, "-swift-version", "6", *kit, target, *parts["kit"])
    sources = []
    for path in parts["app"]:
        if path.name == "CameraPreview.swift":
            continue
        copy = tmp_path / path.name
        # These types are bridged on Apple's systems only.
        copy.write_text(
            re.sub(r"(\w+) as (CFData|CFDictionary)", r"\2.of(\1)", path.read_text("utf-8"))
        )
        sources.append(copy)
    app = ["-typecheck", "-module-name", "Digits"]
    swiftc(tmp_path, "-swift-version", "6", *app, *sources, SDK / "Extras.swift")
    wrong = tmp_path / "Wrong.swift"
    wrong.write_text("nonisolated func press(_ model: CameraModel) { model.toggleTorch() }\n")
    with pytest.raises(AssertionError, match="main actor-isolated instance method 'toggleTorch"):
        swiftc(tmp_path, "-swift-version", "6", *app, *sources, wrong, SDK / "Extras.swift")
