"""Check `project.pbxproj`: objects, references, folders, build settings."""

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
GROUP_MEMBERS = ("PBXGroup", "PBXFileReference", "PBXFileSystemSynchronizedRootGroup")


@dataclass(frozen=True)
class Schema:
    """The required keys of objects of one isa, and the allowed isas of each reference."""

    required: tuple[str, ...]
    references: Mapping[str, tuple[str, ...]]


SCHEMAS = {
    "PBXBuildFile": Schema(
        (), {"productRef": ("XCSwiftPackageProductDependency",), "fileRef": ("PBXFileReference",)}
    ),
    "PBXContainerItemProxy": Schema(
        ("containerPortal", "proxyType", "remoteGlobalIDString", "remoteInfo"),
        {"containerPortal": ("PBXProject",), "remoteGlobalIDString": ("PBXNativeTarget",)},
    ),
    "PBXFileReference": Schema(("path", "sourceTree"), {}),
    "PBXFileSystemSynchronizedRootGroup": Schema(("path", "sourceTree"), {}),
    "PBXGroup": Schema(("children", "sourceTree"), {"children": GROUP_MEMBERS}),
    "PBXNativeTarget": Schema(
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
    "PBXProject": Schema(
        ("attributes", "buildConfigurationList", "mainGroup", "productRefGroup", "targets"),
        {
            "buildConfigurationList": ("XCConfigurationList",),
            "mainGroup": ("PBXGroup",),
            "packageReferences": ("XCLocalSwiftPackageReference",),
            "productRefGroup": ("PBXGroup",),
            "targets": ("PBXNativeTarget",),
        },
    ),
    "PBXTargetDependency": Schema(
        ("target", "targetProxy"),
        {"target": ("PBXNativeTarget",), "targetProxy": ("PBXContainerItemProxy",)},
    ),
    "XCBuildConfiguration": Schema(
        ("buildSettings", "name"), {"baseConfigurationReference": ("PBXFileReference",)}
    ),
    "XCConfigurationList": Schema(
        ("buildConfigurations", "defaultConfigurationName"),
        {"buildConfigurations": ("XCBuildConfiguration",)},
    ),
    "XCLocalSwiftPackageReference": Schema(("relativePath",), {}),
    "XCSwiftPackageProductDependency": Schema(
        ("productName",), {"package": ("XCLocalSwiftPackageReference",)}
    ),
    **{phase: Schema(("files",), {"files": ("PBXBuildFile",)}) for phase in PHASES},
}

# The type of a key's value, for every isa; all other keys have string values.
VALUE_TYPES: dict[str, type] = {
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
TYPE_NAMES: dict[type, str] = {str: "a string", list: "a list", dict: "a dictionary"}

SOURCE_TREES = {
    "PBXFileReference": ("<group>", "BUILT_PRODUCTS_DIR"),
    "PBXFileSystemSynchronizedRootGroup": ("<group>",),
    "PBXGroup": ("<group>",),
}
CONFIGURATIONS = ["Debug", "Release"]

# None: any value is accepted, but the setting is required.
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
        "INFOPLIST_KEY_ITSAppUsesNonExemptEncryption": "NO",
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
# With this setting, the camera delegate, which is called on its own queue, crashes at run time.
FORBIDDEN_SETTINGS = {"SWIFT_DEFAULT_ACTOR_ISOLATION": "MainActor"}


@dataclass(frozen=True)
class Target:
    """A target's name and the file name of its product."""

    name: str
    product: str


@dataclass(frozen=True)
class ProjectFacts:
    """The parts of a project that the checks of other files need.

    Args:
        targets: The targets, by id.
        app_folder: The folder of the app target.
        tests_folder: The folder of the unit-test target.
        ui_tests_folder: The folder of the UI-test target.
        languages: The language codes of the app's texts.
    """

    targets: dict[str, Target]
    app_folder: str
    tests_folder: str
    ui_tests_folder: str
    languages: tuple[str, ...]


def check_project(project: Path, problems: list[str]) -> ProjectFacts | None:
    """Append a message to `problems` for each problem in the `project.pbxproj` of `project`.

    Returns:
        None if the project has too many problems to check the other files.
    """
    path = project / "project.pbxproj"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ParseError(f"larger than {MAX_BYTES} bytes")
        content: Any = parse(path.read_text(encoding="utf-8"))
        if content["objectVersion"] != str(OBJECT_VERSION):
            problems.append(
                f"{path.name}: objectVersion is {content['objectVersion']!r}; "
                f"expected {OBJECT_VERSION}"
            )
        objects, root = content["objects"], content["rootObject"]
        if not all(isinstance(properties, dict) for properties in objects.values()):
            raise ParseError("objects contains a value that is not a dictionary")
    except (OSError, UnicodeDecodeError, ParseError, KeyError, TypeError, AttributeError) as error:
        problems.append(f"{path.name}: cannot be read: {error}")
        return None
    count = len(problems)
    _check_objects(objects, problems)
    _check_reachable(objects, root, problems)
    if len(problems) > count:
        return None
    folder = project.parent
    _check_paths(objects, folder, problems)
    _check_settings("project", objects, objects[root], PROJECT_SETTINGS, problems)
    return _check_targets(objects, objects[root], problems)


def _check_objects(objects: dict[str, dict[str, Any]], problems: list[str]) -> None:
    for identifier, properties in objects.items():
        isa = properties.get("isa")
        where = f"{isa} {identifier}"
        if not ID.fullmatch(identifier):
            problems.append(f"{where}: an id must be 24 hexadecimal digits")
        schema = SCHEMAS.get(isa) if isinstance(isa, str) else None
        if schema is None:
            problems.append(f"{identifier}: unknown isa: {isa!r}")
            continue
        keys = list(properties)
        if keys[0] != "isa" or keys[1:] != sorted(keys[1:]):
            problems.append(f"{where}: the keys are not in Xcode's order (isa first, then sorted)")
        problems += [
            f"{where}: {key} is missing" for key in schema.required if key not in properties
        ]
        problems += [
            f"{where}: {key} is {TYPE_NAMES[type(value)]}; "
            f"expected {TYPE_NAMES[VALUE_TYPES.get(key, str)]}"
            for key, value in properties.items()
            if not isinstance(value, VALUE_TYPES.get(key, str))
        ]
        for key, expected in schema.references.items():
            for target in _as_list(properties.get(key, [])):
                found = objects.get(target) if isinstance(target, str) else None
                if found is None:
                    problems.append(f"{where}: {key} refers to {target!r}, which does not exist")
                elif found.get("isa") not in expected:
                    problems.append(
                        f"{where}: {key} refers to a {found.get('isa')}; "
                        f"expected {' or '.join(expected)}"
                    )


def _check_reachable(objects: dict[str, dict[str, Any]], root: Any, problems: list[str]) -> None:
    if not isinstance(root, str) or objects.get(root, {}).get("isa") != "PBXProject":
        problems.append(f"rootObject refers to {root!r}, which is not a PBXProject")
        return
    reached: set[str] = set()
    waiting = [root]
    while waiting:
        identifier = waiting.pop()
        if identifier in reached or identifier not in objects:
            continue
        reached.add(identifier)
        properties = objects[identifier]
        schema = SCHEMAS.get(str(properties.get("isa")))
        for key in schema.references if schema else ():
            waiting += [t for t in _as_list(properties.get(key, [])) if isinstance(t, str)]
    problems += [
        f"{objects[identifier].get('isa')} {identifier}: nothing refers to it"
        for identifier in objects.keys() - reached
    ]


def _check_paths(objects: dict[str, dict[str, Any]], folder: Path, problems: list[str]) -> None:
    for properties in objects.values():
        isa, path = properties["isa"], str(properties.get("path", ""))
        if isa == "PBXFileSystemSynchronizedRootGroup" and not (folder / path).is_dir():
            problems.append(f"the target folder {path} is missing")
        expected = SOURCE_TREES.get(isa, ())
        if expected and properties["sourceTree"] not in expected:
            problems.append(
                f"{isa} {path}: sourceTree is {properties['sourceTree']!r}; "
                f"expected {' or '.join(expected)}"
            )
        in_folder = isa == "PBXFileReference" and properties["sourceTree"] == "<group>"
        if in_folder and not (folder / path).is_file():
            problems.append(f"the file {path} is missing")
        if isa == "XCSwiftPackageProductDependency" and "package" in properties:
            _check_package(folder, objects[properties["package"]], properties, problems)


def _check_package(
    folder: Path, package: dict[str, Any], product: dict[str, Any], problems: list[str]
) -> None:
    path, name = package["relativePath"], product["productName"]
    try:
        text = (folder / path / "Package.swift").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        problems.append(f"the package {path} has no Package.swift")
        return
    if f'.library(name: "{name}"' not in text:
        problems.append(f"the package {path} has no library called {name}")


def _check_targets(
    objects: dict[str, dict[str, Any]], project: dict[str, Any], problems: list[str]
) -> ProjectFacts | None:
    found: dict[str, Target] = {}
    folders: dict[str, str] = {}
    names: dict[str, str] = {}
    for identifier in project["targets"]:
        target = objects[identifier]
        name, kind = str(target["name"]), str(target["productType"])
        phases = [objects[phase]["isa"] for phase in target["buildPhases"]]
        problems += [
            f"the target {name} has {phases.count(phase)} phases of type {phase}; expected one"
            for phase in PHASES
            if phases.count(phase) != 1
        ]
        if kind not in TARGET_SETTINGS:
            problems.append(f"the target {name} has the unknown productType {kind!r}")
            continue
        product = objects[target["productReference"]]
        if not product.get("explicitFileType"):
            problems.append(f"the product of {name} has no explicitFileType")
        _check_settings(f"target {name}", objects, target, TARGET_SETTINGS[kind], problems)
        found[identifier] = Target(name, str(product["path"]))
        names[kind] = name
        for group in target["fileSystemSynchronizedGroups"]:
            folders[kind] = str(objects[group]["path"])
    for kind in TARGET_SETTINGS:
        if kind not in folders:
            problems.append(f"the project has no target of type {kind} with a folder")
    if len(folders) < len(TARGET_SETTINGS):
        return None
    for target in map(objects.__getitem__, project["targets"]):
        _check_tested(objects, target, names[APPLICATION], problems)
    languages = tuple(str(each) for each in project.get("knownRegions", []) if each != "Base")
    return ProjectFacts(
        found, folders[APPLICATION], folders[UNIT_TESTS], folders[UI_TESTS], languages
    )


def _check_tested(
    objects: dict[str, dict[str, Any]], target: dict[str, Any], app: str, problems: list[str]
) -> None:
    """Check that a test target is configured to test the app."""
    expected = {"TEST_HOST": f"/{app}.app/{app}", "TEST_TARGET_NAME": app}
    for name, settings in _configurations(objects, target):
        problems += [
            f"the target {target['name']} sets {key} to {settings[key]!r} in {name}; "
            f"expected the app {app}"
            for key, ending in expected.items()
            if key in settings and not f"/{settings[key]}".endswith(ending)
        ]


def _check_settings(
    what: str,
    objects: dict[str, dict[str, Any]],
    owner: dict[str, Any],
    required: dict[str, str | None],
    problems: list[str],
) -> None:
    configurations = _configurations(objects, owner)
    names = [name for name, _ in configurations]
    default = objects[owner["buildConfigurationList"]]["defaultConfigurationName"]
    if sorted(names) != CONFIGURATIONS or default not in names:
        problems.append(
            f"the {what} has the configurations {', '.join(names)}, default {default}; "
            f"expected {' and '.join(CONFIGURATIONS)}"
        )
    for name, settings in configurations:
        for key, value in required.items():
            if not settings.get(key):
                problems.append(f"the {what} does not set {key} in {name}")
            elif value is not None and settings[key] != value:
                problems.append(
                    f"the {what} sets {key} to {settings[key]!r} in {name}; expected {value!r}"
                )
        problems += [
            f"the {what} sets {key} to {value!r} in {name}, which makes the camera crash"
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
