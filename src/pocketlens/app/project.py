"""Build the Xcode project of an app: targets, build settings, and the local package.

Each target has one `PBXFileSystemSynchronizedRootGroup`: Xcode finds the files in the target's
folder by itself, so adding a Swift file does not change the project file. Apple does not document
the format; these objects are the ones that Xcode 16 writes for its own templates.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketlens.app.names import AppSpec
from pocketlens.app.pbxproj import OBJECT_VERSION, Reference, Value, XcodeProject

__all__ = ["PACKAGE", "XCCONFIG", "BuiltProject", "build_project"]

PACKAGE = "RecognizerKit"
XCCONFIG = "App.xcconfig"

APPLICATION = "com.apple.product-type.application"
UNIT_TESTS = "com.apple.product-type.bundle.unit-test"
UI_TESTS = "com.apple.product-type.bundle.ui-testing"
BUILD_ACTION_MASK = 2147483647
XCODE = "1600"

LANGUAGES = ("en", "de", "fr")
"""The languages of the app's texts; the first is the language of the source code."""

ORIENTATIONS = (
    "UIInterfaceOrientationPortrait UIInterfaceOrientationLandscapeLeft "
    "UIInterfaceOrientationLandscapeRight"
)

COMMON: dict[str, Value] = {
    "ALWAYS_SEARCH_USER_PATHS": "NO",
    "CLANG_ENABLE_MODULES": "YES",
    "COPY_PHASE_STRIP": "NO",
    "ENABLE_USER_SCRIPT_SANDBOXING": "YES",
    "LOCALIZATION_PREFERS_STRING_CATALOGS": "YES",
    "SDKROOT": "iphoneos",
    "SWIFT_VERSION": "6.0",
}
BY_CONFIGURATION: dict[str, dict[str, Value]] = {
    "Debug": {
        "DEBUG_INFORMATION_FORMAT": "dwarf",
        "ENABLE_TESTABILITY": "YES",
        "ONLY_ACTIVE_ARCH": "YES",
        "SWIFT_ACTIVE_COMPILATION_CONDITIONS": "DEBUG $(inherited)",
        "SWIFT_OPTIMIZATION_LEVEL": "-Onone",
    },
    "Release": {
        "DEBUG_INFORMATION_FORMAT": "dwarf-with-dsym",
        "ENABLE_NS_ASSERTIONS": "NO",
        "SWIFT_COMPILATION_MODE": "wholemodule",
        "SWIFT_OPTIMIZATION_LEVEL": "-O",
        "VALIDATE_PRODUCT": "YES",
    },
}
EVERY_TARGET: dict[str, Value] = {
    "CODE_SIGN_STYLE": "Automatic",
    "CURRENT_PROJECT_VERSION": "1",
    "GENERATE_INFOPLIST_FILE": "YES",
    "MARKETING_VERSION": "1.0",
    "PRODUCT_NAME": "$(TARGET_NAME)",
    "SWIFT_EMIT_LOC_STRINGS": "YES",
    "TARGETED_DEVICE_FAMILY": "1,2",
}


@dataclass(frozen=True)
class BuiltProject:
    """The text of `project.pbxproj`, and the target ids, which the scheme refers to."""

    text: str
    app_id: str
    tests_id: str
    ui_tests_id: str


def build_project(spec: AppSpec) -> BuiltProject:
    """Build the project of an app and its tests, with the local package `RecognizerKit`."""
    project = XcodeProject(spec.name)
    common = COMMON | {"IPHONEOS_DEPLOYMENT_TARGET": f"{spec.ios}.0"}
    root = project.reference("PBXProject", spec.name, "Project object")
    xcconfig = project.add(
        "PBXFileReference",
        XCCONFIG,
        XCCONFIG,
        lastKnownFileType="text.xcconfig",
        path=XCCONFIG,
        sourceTree="<group>",
    )
    package = project.add(
        "XCLocalSwiftPackageReference",
        PACKAGE,
        f'XCLocalSwiftPackageReference "{PACKAGE}"',
        relativePath=PACKAGE,
    )
    product = project.add(
        "XCSwiftPackageProductDependency",
        PACKAGE,
        PACKAGE,
        package=package,
        productName=PACKAGE,
    )
    linked = project.add("PBXBuildFile", PACKAGE, f"{PACKAGE} in Frameworks", productRef=product)
    folders = [_folder(project, name) for name in (spec.name, spec.tests, spec.ui_tests)]
    app_product = _product(project, f"{spec.name}.app", "wrapper.application")
    test_products = [
        _product(project, f"{name}.xctest", "wrapper.cfbundle")
        for name in (spec.tests, spec.ui_tests)
    ]
    products = project.add(
        "PBXGroup",
        "Products",
        "Products",
        children=[app_product, *test_products],
        name="Products",
        sourceTree="<group>",
    )
    main = project.add(
        "PBXGroup",
        "main",
        children=[*folders, xcconfig, products],
        sourceTree="<group>",
    )
    app = project.add(
        "PBXNativeTarget",
        spec.name,
        spec.name,
        buildConfigurationList=_configurations(
            project, "PBXNativeTarget", spec.name, EVERY_TARGET | _app_settings(spec)
        ),
        buildPhases=_phases(project, spec.name, [linked]),
        buildRules=[],
        dependencies=[],
        fileSystemSynchronizedGroups=[folders[0]],
        name=spec.name,
        packageProductDependencies=[product],
        productName=spec.name,
        productReference=app_product,
        productType=APPLICATION,
    )
    tests, ui_tests = (
        project.add(
            "PBXNativeTarget",
            name,
            name,
            buildConfigurationList=_configurations(
                project, "PBXNativeTarget", name, EVERY_TARGET | settings
            ),
            buildPhases=_phases(project, name, []),
            buildRules=[],
            dependencies=[_dependency(project, root, app, name)],
            fileSystemSynchronizedGroups=[folder],
            name=name,
            packageProductDependencies=[],
            productName=name,
            productReference=product,
            productType=kind,
        )
        for name, kind, settings, folder, product in zip(
            (spec.tests, spec.ui_tests),
            (UNIT_TESTS, UI_TESTS),
            (_test_settings(spec), _ui_test_settings(spec)),
            folders[1:],
            test_products,
            strict=True,
        )
    )
    project.add(
        "PBXProject",
        spec.name,
        "Project object",
        attributes={
            "BuildIndependentTargetsInParallel": 1,
            "LastSwiftUpdateCheck": XCODE,
            "LastUpgradeCheck": XCODE,
            "TargetAttributes": {
                app.id: {"CreatedOnToolsVersion": "16.0"},
                **{
                    each.id: {"CreatedOnToolsVersion": "16.0", "TestTargetID": Reference(app.id)}
                    for each in (tests, ui_tests)
                },
            },
        },
        buildConfigurationList=_configurations(
            project, "PBXProject", spec.name, common, BY_CONFIGURATION, xcconfig
        ),
        developmentRegion=LANGUAGES[0],
        hasScannedForEncodings=0,
        knownRegions=[*LANGUAGES, "Base"],
        mainGroup=main,
        minimizedProjectReferenceProxies=1,
        packageReferences=[package],
        preferredProjectObjectVersion=OBJECT_VERSION,
        productRefGroup=products,
        projectDirPath="",
        projectRoot="",
        targets=[app, tests, ui_tests],
    )
    return BuiltProject(project.to_text(root), app.id, tests.id, ui_tests.id)


def _app_settings(spec: AppSpec) -> dict[str, Value]:
    return {
        "ASSETCATALOG_COMPILER_APPICON_NAME": "AppIcon",
        "ASSETCATALOG_COMPILER_GLOBAL_ACCENT_COLOR_NAME": "AccentColor",
        # The app loads the compiled model by URL, so no Swift class is generated for it.
        "COREML_CODEGEN_LANGUAGE": "None",
        "ENABLE_PREVIEWS": "YES",
        "INFOPLIST_KEY_CFBundleDisplayName": spec.title,
        # The app encrypts nothing, so App Store Connect need not ask about it at each upload.
        "INFOPLIST_KEY_ITSAppUsesNonExemptEncryption": "NO",
        "INFOPLIST_KEY_NSCameraUsageDescription": (
            f"{spec.title} uses the camera to recognize what it sees. "
            "The images stay on this device."
        ),
        "INFOPLIST_KEY_UIApplicationSceneManifest_Generation": "YES",
        "INFOPLIST_KEY_UILaunchScreen_Generation": "YES",
        "INFOPLIST_KEY_UISupportedInterfaceOrientations_iPad": (
            f"{ORIENTATIONS} UIInterfaceOrientationPortraitUpsideDown"
        ),
        "INFOPLIST_KEY_UISupportedInterfaceOrientations_iPhone": ORIENTATIONS,
        "LD_RUNPATH_SEARCH_PATHS": ["$(inherited)", "@executable_path/Frameworks"],
        "PRODUCT_BUNDLE_IDENTIFIER": "$(APP_BUNDLE_ID)",
    }


def _test_settings(spec: AppSpec) -> dict[str, Value]:
    return {
        "BUNDLE_LOADER": "$(TEST_HOST)",
        # Xcode's PNG optimization may change pixel values; the fixtures must keep theirs.
        "COMPRESS_PNG_FILES": "NO",
        "PRODUCT_BUNDLE_IDENTIFIER": "$(APP_BUNDLE_ID).tests",
        "TEST_HOST": f"$(BUILT_PRODUCTS_DIR)/{spec.name}.app/{spec.name}",
    }


def _ui_test_settings(spec: AppSpec) -> dict[str, Value]:
    return {
        "PRODUCT_BUNDLE_IDENTIFIER": "$(APP_BUNDLE_ID).uitests",
        "TEST_TARGET_NAME": spec.name,
    }


def _folder(project: XcodeProject, path: str) -> Reference:
    return project.add(
        "PBXFileSystemSynchronizedRootGroup", path, path, path=path, sourceTree="<group>"
    )


def _product(project: XcodeProject, path: str, file_type: str) -> Reference:
    return project.add(
        "PBXFileReference",
        path,
        path,
        explicitFileType=file_type,
        includeInIndex=0,
        path=path,
        sourceTree="BUILT_PRODUCTS_DIR",
    )


def _phases(project: XcodeProject, target: str, frameworks: list[Value]) -> list[Value]:
    # Only the package is listed: Xcode adds the files of the synchronized folder. Without a
    # Resources phase the asset catalog would not be copied.
    contents: dict[str, list[Value]] = {"Sources": [], "Frameworks": frameworks, "Resources": []}
    return [
        project.add(
            f"PBX{name}BuildPhase",
            target,
            name,
            buildActionMask=BUILD_ACTION_MASK,
            files=files,
            runOnlyForDeploymentPostprocessing=0,
        )
        for name, files in contents.items()
    ]


def _configurations(
    project: XcodeProject,
    owner: str,
    name: str,
    settings: dict[str, Value],
    by_configuration: dict[str, dict[str, Value]] | None = None,
    base: Reference | None = None,
) -> Reference:
    extra = {"baseConfigurationReference": base} if base else {}
    members: list[Value] = []
    for configuration in BY_CONFIGURATION:
        merged = settings | (by_configuration or {}).get(configuration, {})
        members.append(
            project.add(
                "XCBuildConfiguration",
                f"{owner}/{name}/{configuration}",
                configuration,
                buildSettings=dict(sorted(merged.items())),
                name=configuration,
                **extra,
            )
        )
    return project.add(
        "XCConfigurationList",
        f"{owner}/{name}",
        f'Build configuration list for {owner} "{name}"',
        buildConfigurations=members,
        defaultConfigurationIsVisible=0,
        defaultConfigurationName="Release",
    )


def _dependency(project: XcodeProject, root: Reference, app: Reference, target: str) -> Reference:
    """A dependency of `target` on the app, so that the app is built first."""
    proxy = project.add(
        "PBXContainerItemProxy",
        target,
        "PBXContainerItemProxy",
        containerPortal=root,
        proxyType=1,
        remoteGlobalIDString=Reference(app.id),
        remoteInfo=str(app.comment),
    )
    return project.add(
        "PBXTargetDependency",
        target,
        "PBXTargetDependency",
        target=app,
        targetProxy=proxy,
    )
