"""The checker reports each kind of damage."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from command_line import output_of
from pocketlens.app import changed_files, check_app
from pocketlens.app.writer import written_files
from pocketlens.errors import AppError
from sampling import sampled

PROJECT = "Digits.xcodeproj/project.pbxproj"
SCHEME = "Digits.xcodeproj/xcshareddata/xcschemes/Digits.xcscheme"
ASSETS = "Digits/Assets.xcassets"
TEXTS = "Digits/Localizable.xcstrings"
ICON = f"{ASSETS}/AppIcon.appiconset/AppIcon.png"


@pytest.fixture
def app(digits_app: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(digits_app, tmp_path / "app"))


def edit(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(
        pattern, replacement, path.read_text(encoding="utf-8"), count=1, flags=re.S
    )
    assert count == 1, f"{pattern} is not in {path.name}"
    path.write_text(text, encoding="utf-8")


# Rows: a pattern in project.pbxproj, its replacement, and the expected words of the message.
IN_THE_PROJECT = [
    (
        "isa = PBXResourcesBuildPhase",
        "isa = PBXResourceBuildPhase",
        "unknown isa: 'PBXResourceBuildPhase'",
    ),
    ("target = [0-9A-F]{24}", "target = 0123456789ABCDEF01234567", "which does not exist"),
    (
        r"(mainGroup = )[0-9A-F]{24}(.*?productRefGroup = )[0-9A-F]{24}",
        r"\1(\2(",
        "cannot be read",
    ),
    (r"productRefGroup = ([0-9A-F]{24})", "productRefGroup = 0", "refers to '0'"),
    (r"[0-9A-F]{24} /\* RecognizerKit in Frameworks \*/,", "", "nothing refers to it"),
    ("remoteGlobalIDString = [0-9A-F]{24};", "", "remoteGlobalIDString is missing"),
    ('"<group>"', "<group>", "'<' must be in double quotes"),
    (r"objectVersion = 77", "objectVersion = 56", "objectVersion is '56'; expected 77"),
    (
        r"\t\t[0-9A-F]{24}( /\* Digits \*/ = \{\n\t\t\tisa = PBXNativeTarget)",
        r"\t\tABC\1",
        "24 hex",
    ),
    (r"\n\t\t\t\t[0-9A-F]{24} /\* Resources \*/,", "", "nothing refers to it"),
    (r"name = Products;\n\t\t\t(sourceTree = [^;]+;)", r"\1\n\t\t\tname = Products;", "order"),
    (r'productType = "com.apple.product-type.application";', "", "productType is missing"),
    ("product-type.application", "product-type.framework", "unknown productType"),
    ("COREML_CODEGEN_LANGUAGE = None;", "", "does not set COREML_CODEGEN_LANGUAGE in Debug"),
    ("SWIFT_VERSION = 6.0;", "SWIFT_VERSION = 5.0;", "sets SWIFT_VERSION to '5.0'"),
    ('INFOPLIST_KEY_NSCameraUsageDescription = "[^"]+";', "", "NSCameraUsageDescription in Debug"),
    (
        "SWIFT_EMIT_LOC_STRINGS = YES;",
        "SWIFT_DEFAULT_ACTOR_ISOLATION = MainActor;",
        "which makes the camera crash",
    ),
    ("relativePath = RecognizerKit", "relativePath = Kit", "Kit has no Package.swift"),
    ("path = DigitsTests;", "path = Tests;", "the target folder Tests is missing"),
    ("path = App.xcconfig", "path = Gone.xcconfig", "the file Gone.xcconfig is missing"),
    ("explicitFileType = wrapper.application; ", "", "no explicitFileType"),
    (r"rootObject = [0-9A-F]{24}", "rootObject = 0123456789ABCDEF01234567", "rootObject refers to"),
    (r"\tobjects = \{", "\tobjects = x; y = {", "cannot be read"),
    ("proxyType = 1", "proxyType = (1)", "proxyType is a list; expected a string"),
    (r"buildRules = \(\s+\)", "buildRules = x", "buildRules is a string; expected a list"),
    ("productName = RecognizerKit", "productName = Other", "has no library called Other"),
    ("sourceTree = BUILT_PRODUCTS_DIR", "sourceTree = SDKROOT", "sourceTree is 'SDKROOT'"),
    ("TEST_TARGET_NAME = Digits;", "", "does not set TEST_TARGET_NAME in "),
    ("TEST_TARGET_NAME = Digits;", "TEST_TARGET_NAME = Other;", "sets TEST_TARGET_NAME to 'Other'"),
    (r"/Digits.app/Digits", "/Other.app/Other", "expected the app Digits"),
    (r"path = DigitsUITests;", "path = Pressing;", "the target folder Pressing is missing"),
    ("name = Release", "name = Rel", "expected Debug and Release"),
    ("defaultConfigurationName = Release", "defaultConfigurationName = Z", "default Z"),
]


@pytest.mark.parametrize(
    ("pattern", "replacement", "words"), sampled(IN_THE_PROJECT, len(IN_THE_PROJECT) // 2)
)
def test_problems_in_the_project_file(
    app: Path, pattern: str, replacement: str, words: str
) -> None:
    edit(app / PROJECT, pattern, replacement)
    problems = check_app(app)
    assert any(words in problem for problem in problems), problems


def test_a_duplicate_id_in_the_project(app: Path) -> None:
    text = (app / PROJECT).read_text()
    row = re.search(r"\n\t\t[0-9A-F]{24} /\* App.xcconfig \*/ = [^\n]+", text)
    assert row is not None
    (app / PROJECT).write_text(text.replace(row[0], row[0] * 2))
    (problem,) = check_app(app)
    assert "only once in its dictionary" in problem


def test_a_target_without_a_resources_phase(app: Path) -> None:
    text = (app / PROJECT).read_text()
    (phase, *_) = re.findall(r"([0-9A-F]{24}) /\* Resources \*/ = \{", text)
    edit(app / PROJECT, rf"\t\t{phase} /\* Resources \*/ = \{{.*?\n\t\t\}};\n", "")
    edit(app / PROJECT, rf"\t\t\t\t{phase} /\* Resources \*/,\n", "")
    (problem,) = check_app(app)
    assert "has 0 phases of type PBXResourcesBuildPhase; expected one" in problem


IN_OTHER_FILES: list[tuple[str, Callable[[Path], object], str]] = [
    (
        "scheme of another target",
        lambda app: edit(
            app / SCHEME, r'BlueprintIdentifier = "[0-9A-F]+"', 'BlueprintIdentifier = "0"'
        ),
        "BlueprintIdentifier '0' is not the id of a target",
    ),
    (
        "scheme of another project",
        lambda app: edit(app / SCHEME, "container:Digits", "container:Other"),
        "ReferencedContainer is 'container:Other.xcodeproj'",
    ),
    (
        "a text without German translation",
        lambda app: edit(
            app / TEXTS,
            r'"Undo" : \{\s+"localizations" : \{\s+"de"',
            r'"Undo" : {"localizations" : {"es"',
        ),
        "Localizable.xcstrings: 'Undo' has no translation in de",
    ),
    (
        "a text without its placeholder",
        lambda app: edit(app / TEXTS, "%@ fehlt in der App", "Etwas fehlt in der App"),
        "'%@ is missing from the app.' has different placeholders in de",
    ),
    (
        "a catalog with a wrong type",
        lambda app: (app / TEXTS).write_text('{"strings": {"a": []}}'),
        "Localizable.xcstrings: a key is missing or has the wrong type",
    ),
    (
        "no permission text",
        lambda app: (app / "Digits/InfoPlist.xcstrings").unlink(),
        "Digits/InfoPlist.xcstrings is missing",
    ),
    (
        "scheme without tests",
        lambda app: edit(app / SCHEME, "<TestableReference.*</TestableReference>", ""),
        "the target DigitsTests is not in the scheme",
    ),
    ("truncated scheme", lambda app: edit(app / SCHEME, "</Scheme>", ""), "invalid XML"),
    ("no scheme", lambda app: (app / SCHEME).unlink(), "Digits.xcscheme is missing"),
    (
        "two models",
        lambda app: (app / "Digits/Old.mlmodel").write_bytes(b"x"),
        "expected exactly one model; found: Old.mlmodel, Recognizer.mlpackage",
    ),
    (
        "no model",
        lambda app: shutil.rmtree(app / "Digits/Recognizer.mlpackage"),
        "expected exactly one model; found: none",
    ),
    (
        "model of another name",
        lambda app: (app / "Digits/Recognizer.mlpackage").rename(app / "Digits/Other.mlpackage"),
        "the model must be called Recognizer; found: Other.mlpackage",
    ),
    (
        "icon with transparency",
        lambda app: Image.new("RGBA", (1024, 1024)).save(app / ICON),
        "AppIcon.png has transparency",
    ),
    (
        "small icon",
        lambda app: Image.new("RGB", (512, 1024)).save(app / ICON),
        "AppIcon.png is 512 × 1024; expected 1024 × 1024",
    ),
    (
        "icon that is not an image",
        lambda app: (app / ICON).write_bytes(b"x"),
        "unsupported image format",
    ),
    ("no icon", lambda app: (app / ICON).unlink(), "AppIcon: AppIcon.png is missing"),
    (
        "no dark icon in the list",
        lambda app: edit(
            app / ASSETS / "AppIcon.appiconset/Contents.json", "AppIcon-Dark", "AppIcon-Night"
        ),
        "has no dark icon, AppIcon-Dark.png",
    ),
    (
        "tinted icon listed as dark",
        lambda app: edit(app / ASSETS / "AppIcon.appiconset/Contents.json", '"tinted"', '"dark"'),
        "appearances of AppIcon-Tinted.png",
    ),
    (
        "icon of another platform",
        lambda app: edit(app / ASSETS / "AppIcon.appiconset/Contents.json", '"ios"', '"watchos"'),
        "platform of AppIcon.png is 'watchos'; expected 'ios'",
    ),
    (
        "asset catalog that is not JSON",
        lambda app: (app / ASSETS / "Contents.json").write_text("{"),
        "Assets.xcassets/Contents.json: invalid JSON",
    ),
    (
        "no accent color",
        lambda app: shutil.rmtree(app / ASSETS / "AccentColor.colorset"),
        "AccentColor.colorset/Contents.json is missing",
    ),
    (
        "truncated privacy manifest",
        lambda app: edit(app / "Digits/PrivacyInfo.xcprivacy", "</plist>", ""),
        "PrivacyInfo.xcprivacy: invalid property list",
    ),
    (
        "privacy manifest without a key",
        lambda app: edit(app / "Digits/PrivacyInfo.xcprivacy", "NSPrivacyTracking<", "Other<"),
        "NSPrivacyTracking is missing",
    ),
    (
        "background that is not a class",
        lambda app: edit(
            app / "Digits/recognizer.json", '"background": "nothing"', '"background": "z"'
        ),
        "the background must be one of the classes; received: 'z'",
    ),
    (
        "recognizer with an unknown crop",
        lambda app: edit(app / "Digits/recognizer.json", "center-crop", "center"),
        "unknown input.crop 'center'",
    ),
    (
        "recognizer without a threshold",
        lambda app: edit(app / "Digits/recognizer.json", '"show": 0.7,', ""),
        'keys missing in "thresholds": show',
    ),
    (
        "recognizer without a name",
        lambda app: edit(app / "Digits/recognizer.json", '"name": "Digits"', '"name": 5'),
        '"name" must be a non-empty string; received: 5',
    ),
    (
        "fixture with an unknown class",
        lambda app: edit(app / "DigitsTests/fixtures.json", '"label": "[^"]+"', '"label": "z"'),
        "stroke.png expects 'z', which is not one of the classes",
    ),
    (
        "fixtures that are null",
        lambda app: (app / "DigitsTests/fixtures.json").write_text("null"),
        "fixtures.json: a key is missing or has the wrong type",
    ),
    (
        "no recognizer",
        lambda app: (app / "Digits/recognizer.json").unlink(),
        "Digits/recognizer.json is missing",
    ),
    (
        "Info.plist in the folder",
        lambda app: (app / "Digits/Info.plist").write_text("x"),
        "would be copied as a resource",
    ),
    (
        "no package",
        lambda app: (app / "RecognizerKit/Package.swift").unlink(),
        "RecognizerKit has no Package.swift",
    ),
    (
        "fixture without its image",
        lambda app: (app / "DigitsTests/ring.png").unlink(),
        "the image 'ring.png' is missing",
    ),
    (
        "fixtures without images",
        lambda app: (app / "DigitsTests/fixtures.json").write_text(
            '{"tolerance": 2, "pictures": []}'
        ),
        "expected a tolerance between 0 and 1, and at least one picture",
    ),
    (
        "fixtures with a wrong type",
        lambda app: (app / "DigitsTests/fixtures.json").write_text("[]"),
        "fixtures.json: a key is missing or has the wrong type",
    ),
    ("no project file", lambda app: (app / PROJECT).unlink(), "cannot be read"),
    (
        "project file that is not text",
        lambda app: (app / PROJECT).write_bytes(b"\xff"),
        "cannot be read",
    ),
]


def replace_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


# Every row: what happens to which file, and the expected words of the message.
IN_EVERY_FILE: list[tuple[str, Callable[[Path], object], str]] = [
    (
        "Swift file deleted",
        lambda app: (app / "Digits/Screens/LabelView.swift").unlink(),
        "Digits/Screens/LabelView.swift is missing",
    ),
    (
        "Swift file of the package deleted",
        lambda app: (app / "RecognizerKit/Sources/RecognizerKit/LabelMap.swift").unlink(),
        "RecognizerKit/Sources/RecognizerKit/LabelMap.swift is missing",
    ),
    (
        "Swift file of the tests deleted",
        lambda app: (app / "DigitsTests/FixtureTests.swift").unlink(),
        "DigitsTests/FixtureTests.swift is missing",
    ),
    (
        "Swift file truncated",
        lambda app: edit(app / "Digits/Screens/LabelView.swift", r"\}\s*$", ""),
        "Digits/Screens/LabelView.swift, line ",
    ),
    (
        "Swift file with text that is not Swift",
        lambda app: replace_text(app / "Digits/Photo/PhotoModel.swift", "Lorem ipsum, dolor {\n"),
        "Digits/Photo/PhotoModel.swift, line 1: not valid Swift",
    ),
    (
        "Swift file emptied",
        lambda app: replace_text(app / "Digits/Photo/PhotoModel.swift", ""),
        "Digits/Photo/PhotoModel.swift is empty",
    ),
    (
        "Swift file that is not text",
        lambda app: (app / "Digits/Photo/PhotoModel.swift").write_bytes(b"\xff\xfe"),
        "PhotoModel.swift: cannot be read",
    ),
    (
        "type renamed in its declaration only",
        lambda app: edit(app / "Digits/Photo/PhotoModel.swift", "class PhotoModel", "class Other"),
        "Digits/Photo/PhotoScreen.swift uses PhotoModel, which no Swift file declares",
    ),
    (
        "broken Swift file that the user added",
        lambda app: replace_text(app / "Digits/Mine.swift", "struct {"),
        "Digits/Mine.swift, line 1",
    ),
    (
        "broken script",
        lambda app: replace_text(app / "Scripts/pick_device.py", "def x(:"),
        "Scripts/pick_device.py: invalid Python",
    ),
    (
        "broken xcconfig",
        lambda app: replace_text(app / "App.xcconfig", "APP_BUNDLE_ID com.example\n"),
        "App.xcconfig: invalid xcconfig file: line 1",
    ),
    ("no Makefile", lambda app: (app / "Makefile").unlink(), "Makefile is missing"),
    (
        "no workflow",
        lambda app: (app / ".github/workflows/build.yml").unlink(),
        ".github/workflows/build.yml is missing",
    ),
    (
        "UserDefaults without a reason",
        lambda app: edit(app / "Digits/PrivacyInfo.xcprivacy", "<string>CA92.1</string>", ""),
        "the code uses AppStorage, so NSPrivacyAccessedAPITypes must name "
        "NSPrivacyAccessedAPICategoryUserDefaults",
    ),
    (
        "code of the user that needs a reason",
        lambda app: replace_text(
            app / "Digits/Mine.swift", "let start = ProcessInfo.processInfo.systemUptime\n"
        ),
        "the code uses systemUptime, so NSPrivacyAccessedAPITypes must name "
        "NSPrivacyAccessedAPICategorySystemBootTime",
    ),
    (
        "weights truncated",
        lambda app: next(app.rglob("weight.bin")).write_bytes(b"x"),
        "Recognizer.mlpackage: ",
    ),
    (
        "classes renamed",
        lambda app: edit(app / "Digits/recognizer.json", '"7"', '"seven"'),
        "Recognizer.mlpackage has 11 classes, which are not the 11 classes in recognizer.json",
    ),
    (
        "fixture of another model",
        lambda app: edit(
            app / "DigitsTests/fixtures.json", r'"probability": [\d.]+', '"probability": 0.0'
        ),
        "stroke.png: the model gives",
    ),
    (
        "no manifest",
        lambda app: (app / ".pocketlens-app.json").unlink(),
        ".pocketlens-app.json, the list of files that were written, is missing",
    ),
    (
        "damaged manifest",
        lambda app: (app / ".pocketlens-app.json").write_text("[]"),
        "is damaged",
    ),
]


DAMAGED = [*IN_OTHER_FILES, *IN_EVERY_FILE]


@pytest.mark.parametrize(("kind", "damage", "words"), sampled(DAMAGED, len(DAMAGED) // 2))
def test_problems_in_other_files(
    app: Path, kind: str, damage: Callable[[Path], object], words: str
) -> None:
    damage(app)
    problems = check_app(app)
    assert any(words in problem for problem in problems), problems


def test_every_written_file_is_missed(app: Path, digits_app: Path) -> None:
    """The manifest itself and the files of the model have messages of their own."""
    written = [path for path in written_files(app) if "Recognizer.mlpackage" not in path]
    assert len(written) > 40
    (app / "Digits.xcodeproj/project.pbxproj").rename(app / "kept")
    for path in written:
        (app / path).unlink(missing_ok=True)
    (app / "kept").rename(app / "Digits.xcodeproj/project.pbxproj")
    problems = "\n".join(check_app(app))
    gone = [path for path in written if not path.endswith("project.pbxproj")]
    assert [path for path in gone if Path(path).name not in problems] == []


def test_changes_of_the_user_are_listed_and_are_not_problems(app: Path) -> None:
    assert changed_files(app) == []
    screen = app / "Digits/Screens/LabelView.swift"
    screen.write_text(screen.read_text("utf-8") + "// changed\n", "utf-8")
    (app / "Digits/Mine.swift").write_text("struct Mine {}\n")
    assert check_app(app) == []
    assert changed_files(app) == ["Digits/Screens/LabelView.swift"]
    assert "changed since it was written: Digits/Screens/LabelView.swift" in output_of(
        "app", "--check", app
    )
    assert json.loads(output_of("app", "--check", app, "--json")) == {
        "folder": str(app),
        "problems": [],
        "changed": ["Digits/Screens/LabelView.swift"],
    }


def test_build_folders_are_not_part_of_the_app(app: Path) -> None:
    (app / "build").mkdir()
    (app / "build/Broken.swift").write_text("struct {")
    assert check_app(app) == []


def test_deeply_nested_files(app: Path) -> None:
    replace_text(app / "Digits/Deep.swift", "let x = " + "(" * 20_000 + ")" * 20_000)
    replace_text(app / "Digits/Deep.json", "[" * 100_000)
    replace_text(app / "Scripts/deep.py", "(" * 5_000)
    problems = check_app(app)
    assert any("Digits/Deep.json: invalid JSON" in problem for problem in problems)
    assert any("Scripts/deep.py: invalid Python" in problem for problem in problems)


def test_all_problems_are_reported_together(app: Path) -> None:
    (app / ICON).unlink()
    (app / "Digits/Old.mlmodel").write_bytes(b"x")
    (app / "DigitsTests/fixtures.json").write_text(json.dumps({}))
    assert len(check_app(app)) == 3


def test_a_folder_without_a_project(tmp_path: Path) -> None:
    with pytest.raises(AppError, match="expected exactly one .xcodeproj in .*; found: none"):
        check_app(tmp_path)


def test_a_folder_with_two_projects(app: Path) -> None:
    (app / "Other.xcodeproj").mkdir()
    with pytest.raises(AppError, match=r"found: Digits.xcodeproj, Other.xcodeproj"):
        check_app(app)
