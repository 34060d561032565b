"""The rules for `project.pbxproj`: objects, references, folders, build settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketlens.app.pbxproj import OBJECT_VERSION, ParseError, parse
from pocketlens.app.project import APPLICATION, UI_TESTS, UNIT_TESTS

__all__ = ["ProjectFacts", "Target", "check_project"]

ID = re.compile(r"[0-9A-F]{24}")
MAX_BYTES = 16_000_000

PHASES = ("PBXSourcesBuildPhase", "PBXFrameworksBuildPhase", "PBXResourcesBuildPhase")
GROUPED = ("PBXGroup", "PBXFileReference", "PBXFileSystemSynchronizedRootGroup")


@dataclass(frozen=True)
class Shape:
    """What an object of one isa must have, and what its references must lead to."""

    required: tuple[str, ...]
    references: Mapping[str, tuple[str, ...]]


SHAPES = {
    "PBXBuildFile": Shape(
        (), {"productRef": ("XCSwiftPackageProductDependency",), "fileRef": ("PBXFileReference",)}
    ),
    "PBXContainerItemProxy": Shape(
        ("containerPortal", "proxyType", "remoteGlobalIDString", "remoteInfo"),
        {"containerPortal": ("PBXProject",), "remoteGlobalIDString": ("PBXNativeTarget",)},
    ),
    "PBXFileReference": Shape(("path", "sourceTree"), {}),
    "PBXFileSystemSynchronizedRootGroup": Shape(("path", "sourceTree"), {}),
    "PBXGroup": Shape(("children", "sourceTree"), {"children": GROUPED}),
    "PBXNativeTarget": Shape(
        (
            "buildConfigurationList",
            "buildPhases",
            "fileSystemSynchronizedGroups",
            "name",
            "productReference",
            "productType",
        ),
        {
            "buildConfigurationList": ("XCConfigurationList",),
            "buildPhases": PHASES,
            "dependencies": ("PBXTargetDependency",),
            "fileSystemSynchronizedGroups": ("PBXFileSystemSynchronizedRootGroup",),
            "packageProductDependencies": ("XCSwiftPackageProductDependency",),
            "productReference": ("PBXFileReference",),
        },
    ),
    "PBXProject": Shape(
        ("attributes", "buildConfigurationList", "mainGroup", "productRefGroup", "targets"),
        {
            "buildConfigurationList": ("XCConfigurationList",),
            "mainGroup": ("PBXGroup",),
            "packageReferences": ("XCLocalSwiftPackageReference",),
            "productRefGroup": ("PBXGroup",),
            "targets": ("PBXNativeTarget",),
        },
    ),
    "PBXTargetDependency": Shape(
        ("target", "targetProxy"),
        {"target": ("PBXNativeTarget",), "targetProxy": ("PBXContainerItemProxy",)},
    ),
    "XCBuildConfiguration": Shape(
        ("buildSettings", "name"), {"baseConfigurationReference": ("PBXFileReference",)}
    ),
    "XCConfigurationList": Shape(
        ("buildConfigurations", "defaultConfigurationName"),
        {"buildConfigurations": ("XCBuildConfiguration",)},
    ),
    "XCLocalSwiftPackageReference": Shape(("relativePath",), {}),
    "XCSwiftPackageProductDependency": Shape(
        ("productName",), {"package": ("XCLocalSwiftPackageReference",)}
    ),
    **{phase: Shape(("files",), {"files": ("PBXBuildFile",)}) for phase in PHASES},
}

# The form of a key's value, whatever the isa; every other key holds a string.
FORMS: dict[str, type] = {
    **dict.fromkeys(("attributes", "buildSettings"), dict),
    **dict.fromkeys(
        (
            "buildConfigurations",
            "buildPhases",
            "buildRules",
            "children",
            "dependencies",
            "fileSystemSynchronizedGroups",
            "files",
            "knownRegions",
            "packageProductDependencies",
            "packageReferences",
            "targets",
        ),
        list,
    ),
}
FORM_NAMES: dict[type, str] = {str: "a string", list: "a list", dict: "a dictionary"}

SOURCE_TREES = {
    "PBXFileReference": ("<group>", "BUILT_PRODUCTS_DIR"),
    "PBXFileSystemSynchronizedRootGroup": ("<group>",),
    "PBXGroup": ("<group>",),
}
CONFIGURATIONS = ["Debug", "Release"]

# None: any value will do, but the app cannot be right without one.
PROJECT_SETTINGS: dict[str, str | None] = {
    "ENABLE_USER_SCRIPT_SANDBOXING": "YES",
    "IPHONEOS_DEPLOYMENT_TARGET": None,
    "SDKROOT": "iphoneos",
    "SWIFT_VERSION": "6.0",
}
TARGET_SETTINGS: dict[str, dict[str, str | None]] = {
    APPLICATION: {
        "ASSETCATALOG_COMPILER_APPICON_NAME": "AppIcon",
        "ASSETCATALOG_COMPILER_GLOBAL_ACCENT_COLOR_NAME": "AccentColor",
        "CODE_SIGN_STYLE": None,
        "COREML_CODEGEN_LANGUAGE": "None",
        "CURRENT_PROJECT_VERSION": None,
        "GENERATE_INFOPLIST_FILE": "YES",
        "INFOPLIST_KEY_NSCameraUsageDescription": None,
        "INFOPLIST_KEY_UIApplicationSceneManifest_Generation": "YES",
        "INFOPLIST_KEY_UILaunchScreen_Generation": "YES",
        "LD_RUNPATH_SEARCH_PATHS": None,
        "MARKETING_VERSION": None,
        "PRODUCT_BUNDLE_IDENTIFIER": None,
        "PRODUCT_NAME": None,
        "TARGETED_DEVICE_FAMILY": "1,2",
    },
    UNIT_TESTS: {
        "BUNDLE_LOADER": "$(TEST_HOST)",
        "GENERATE_INFOPLIST_FILE": "YES",
        "PRODUCT_BUNDLE_IDENTIFIER": None,
        "PRODUCT_NAME": None,
        "TEST_HOST": None,
    },
    UI_TESTS: {
        "GENERATE_INFOPLIST_FILE": "YES",
        "PRODUCT_BUNDLE_IDENTIFIER": None,
        "PRODUCT_NAME": None,
        "TEST_TARGET_NAME": None,
    },
}
# With it a camera delegate, called on its own queue, traps at run time.
FORBIDDEN_SETTINGS = {"SWIFT_DEFAULT_ACTOR_ISOLATION": "MainActor"}


@dataclass(frozen=True)
class Target:
    """A target's name and the file name of its product."""

    name: str
    product: str


@dataclass(frozen=True)
class ProjectFacts:
    """What the other rules need of a project.

    Args:
        targets: By id.
        app_folder: Of the application.
        tests_folder: Of the unit tests.
        ui_tests_folder: Of the tests that press the app's buttons.
        languages: That the app speaks.
    """

    targets: dict[str, Target]
    app_folder: str
    tests_folder: str
    ui_tests_folder: str
    languages: tuple[str, ...]


def check_project(project: Path, faults: list[str]) -> ProjectFacts | None:
    """Add every fault of `project`'s `project.pbxproj` to `faults`.

    Returns:
        None if the project is too broken to go on from.
    """
    path = project / "project.pbxproj"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ParseError(f"more than {MAX_BYTES} bytes")
        content: Any = parse(path.read_text(encoding="utf-8"))
        if content["objectVersion"] != str(OBJECT_VERSION):
            faults.append(
                f"{path.name}: objectVersion is {content['objectVersion']!r}; "
                f"expected {OBJECT_VERSION}"
            )
        objects, root = content["objects"], content["rootObject"]
        if not all(isinstance(properties, dict) for properties in objects.values()):
            raise ParseError("objects holds something that is not a dictionary")
    except (OSError, UnicodeDecodeError, ParseError, KeyError, TypeError, AttributeError) as error:
        faults.append(f"{path.name}: cannot be read: {error}")
        return None
    count = len(faults)
    _check_objects(objects, faults)
    _check_reach(objects, root, faults)
    if len(faults) > count:
        return None
    folder = project.parent
    _check_paths(objects, folder, faults)
    _check_settings("project", objects, objects[root], PROJECT_SETTINGS, faults)
    return _check_targets(objects, objects[root], faults)


def _check_objects(objects: dict[str, dict[str, Any]], faults: list[str]) -> None:
    for identifier, properties in objects.items():
        isa = properties.get("isa")
        where = f"{isa} {identifier}"
        if not ID.fullmatch(identifier):
            faults.append(f"{where}: an id is 24 hexadecimal digits")
        shape = SHAPES.get(isa) if isinstance(isa, str) else None
        if shape is None:
            faults.append(f"{identifier}: {isa!r} is not an isa that the app's project uses")
            continue
        keys = list(properties)
        if keys[0] != "isa" or keys[1:] != sorted(keys[1:]):
            faults.append(f"{where}: the keys do not stand in Xcode's order, isa first")
        faults += [f"{where}: {key} is missing" for key in shape.required if key not in properties]
        faults += [
            f"{where}: {key} is {FORM_NAMES[type(value)]}; "
            f"expected {FORM_NAMES[FORMS.get(key, str)]}"
            for key, value in properties.items()
            if not isinstance(value, FORMS.get(key, str))
        ]
        for key, expected in shape.references.items():
            for target in _as_list(properties.get(key, [])):
                found = objects.get(target) if isinstance(target, str) else None
                if found is None:
                    faults.append(f"{where}: {key} leads to {target!r}, which does not exist")
                elif found.get("isa") not in expected:
                    faults.append(
                        f"{where}: {key} leads to a {found.get('isa')}; "
                        f"expected {' or '.join(expected)}"
                    )


def _check_reach(objects: dict[str, dict[str, Any]], root: Any, faults: list[str]) -> None:
    if not isinstance(root, str) or objects.get(root, {}).get("isa") != "PBXProject":
        faults.append(f"rootObject leads to {root!r}, which is no PBXProject")
        return
    reached: set[str] = set()
    waiting = [root]
    while waiting:
        identifier = waiting.pop()
        if identifier in reached or identifier not in objects:
            continue
        reached.add(identifier)
        properties = objects[identifier]
        shape = SHAPES.get(str(properties.get("isa")))
        for key in shape.references if shape else ():
            waiting += [t for t in _as_list(properties.get(key, [])) if isinstance(t, str)]
    faults += [
        f"{objects[identifier].get('isa')} {identifier}: nothing leads to it"
        for identifier in objects.keys() - reached
    ]


def _check_paths(objects: dict[str, dict[str, Any]], folder: Path, faults: list[str]) -> None:
    for properties in objects.values():
        isa, path = properties["isa"], str(properties.get("path", ""))
        if isa == "PBXFileSystemSynchronizedRootGroup" and not (folder / path).is_dir():
            faults.append(f"the target folder {path} is missing")
        expected = SOURCE_TREES.get(isa, ())
        if expected and properties["sourceTree"] not in expected:
            faults.append(
                f"{isa} {path}: sourceTree is {properties['sourceTree']!r}; "
                f"expected {' or '.join(expected)}"
            )
        in_folder = isa == "PBXFileReference" and properties["sourceTree"] == "<group>"
        if in_folder and not (folder / path).is_file():
            faults.append(f"the file {path} is missing")
        if isa == "XCSwiftPackageProductDependency" and "package" in properties:
            _check_package(folder, objects[properties["package"]], properties, faults)


def _check_package(
    folder: Path, package: dict[str, Any], product: dict[str, Any], faults: list[str]
) -> None:
    path, name = package["relativePath"], product["productName"]
    try:
        text = (folder / path / "Package.swift").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        faults.append(f"the package {path} has no Package.swift")
        return
    if f'.library(name: "{name}"' not in text:
        faults.append(f"the package {path} makes no library called {name}")


def _check_targets(
    objects: dict[str, dict[str, Any]], project: dict[str, Any], faults: list[str]
) -> ProjectFacts | None:
    found: dict[str, Target] = {}
    folders: dict[str, str] = {}
    names: dict[str, str] = {}
    for identifier in project["targets"]:
        target = objects[identifier]
        name, kind = str(target["name"]), str(target["productType"])
        phases = [objects[phase]["isa"] for phase in target["buildPhases"]]
        faults += [
            f"the target {name} has {phases.count(phase)} phases of the kind {phase}; expected one"
            for phase in PHASES
            if phases.count(phase) != 1
        ]
        if kind not in TARGET_SETTINGS:
            faults.append(f"the target {name} has the unknown productType {kind!r}")
            continue
        product = objects[target["productReference"]]
        if not product.get("explicitFileType"):
            faults.append(f"the product of {name} has no explicitFileType")
        _check_settings(f"target {name}", objects, target, TARGET_SETTINGS[kind], faults)
        found[identifier] = Target(name, str(product["path"]))
        names[kind] = name
        for group in target["fileSystemSynchronizedGroups"]:
            folders[kind] = str(objects[group]["path"])
    for kind in TARGET_SETTINGS:
        if kind not in folders:
            faults.append(f"the project has no target of the kind {kind} with a folder")
    if len(folders) < len(TARGET_SETTINGS):
        return None
    for target in map(objects.__getitem__, project["targets"]):
        _check_tested(objects, target, names[APPLICATION], faults)
    languages = tuple(str(each) for each in project.get("knownRegions", []) if each != "Base")
    return ProjectFacts(
        found, folders[APPLICATION], folders[UNIT_TESTS], folders[UI_TESTS], languages
    )


def _check_tested(
    objects: dict[str, dict[str, Any]], target: dict[str, Any], app: str, faults: list[str]
) -> None:
    """The target, if it is one of tests, names the app as what it tests."""
    expected = {"TEST_HOST": f"/{app}.app/{app}", "TEST_TARGET_NAME": app}
    for name, settings in _configurations(objects, target):
        faults += [
            f"the target {target['name']} sets {key} to {settings[key]!r} in {name}; "
            f"expected it to name the app {app}"
            for key, ending in expected.items()
            if key in settings and not f"/{settings[key]}".endswith(ending)
        ]


def _check_settings(
    what: str,
    objects: dict[str, dict[str, Any]],
    owner: dict[str, Any],
    required: dict[str, str | None],
    faults: list[str],
) -> None:
    configurations = _configurations(objects, owner)
    names = [name for name, _ in configurations]
    default = objects[owner["buildConfigurationList"]]["defaultConfigurationName"]
    if sorted(names) != CONFIGURATIONS or default not in names:
        faults.append(
            f"the {what} has the configurations {', '.join(names)} and by default {default}; "
            f"expected {' and '.join(CONFIGURATIONS)}"
        )
    for name, settings in configurations:
        for key, value in required.items():
            if not settings.get(key):
                faults.append(f"the {what} lacks the setting {key} in {name}")
            elif value is not None and settings[key] != value:
                faults.append(
                    f"the {what} sets {key} to {settings[key]!r} in {name}; expected {value!r}"
                )
        faults += [
            f"the {what} sets {key} to {value!r} in {name}, which stops camera frames"
            for key, value in FORBIDDEN_SETTINGS.items()
            if settings.get(key) == value
        ]


def _configurations(
    objects: dict[str, dict[str, Any]], owner: dict[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    members = objects[owner["buildConfigurationList"]]["buildConfigurations"]
    return [(objects[member]["name"], objects[member]["buildSettings"]) for member in members]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
