"""The other files in an app's folder: Makefile, scripts, workflow, README."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

Pick: TypeAlias = Callable[..., tuple[int, str]]

PHONE = {
    "deviceProperties": {"name": "Ada's iPhone"},
    "hardwareProperties": {"platform": "iOS", "reality": "physical", "udid": "0000-A"},
    "connectionProperties": {"pairingState": "paired", "tunnelState": "disconnected"},
}
SIMULATORS = {
    "devices": {
        "com.apple.CoreSimulator.SimRuntime.watchOS-11-0": [{"udid": "W", "name": "Watch"}],
        "com.apple.CoreSimulator.SimRuntime.iOS-18-2": [{"udid": "OLD", "name": "iPhone 16"}],
        "com.apple.CoreSimulator.SimRuntime.iOS-26-0": [
            {"udid": "PAD", "name": "iPad Air"},
            {"udid": "NEW", "name": "iPhone 17"},
        ],
        "com.apple.CoreSimulator.SimRuntime.iOS-18-10": [],
    }
}


def phone(**parts: dict[str, str]) -> dict[str, Any]:
    """`PHONE` with some values changed."""
    return {**PHONE, **{key: {**PHONE[key], **value} for key, value in parts.items()}}


@pytest.fixture
def pick(digits_app: Path, tmp_path: Path) -> Pick:
    """Run the script; returns its exit status and its output."""

    def run(kind: str, listing: object, *rest: str) -> tuple[int, str]:
        path = tmp_path / "list.json"
        path.write_text(json.dumps(listing))
        result = subprocess.run(
            [sys.executable, digits_app / "Scripts/pick_device.py", kind, path, *rest],
            capture_output=True,
            text=True,
        )
        return result.returncode, result.stdout.strip() or result.stderr.strip()

    return run


@pytest.mark.parametrize(
    ("devices", "wanted", "answer"),
    [
        ([PHONE], [], (0, "0000-A")),
        ([PHONE], [""], (0, "0000-A")),
        ([PHONE], ["ada"], (0, "0000-A")),
        ([PHONE], ["bob"], (1, "No device matches 'bob'; found: Ada's iPhone.")),
        ([phone(hardwareProperties={"platform": "watchOS"})], [], (1, "No iPhone found.")),
        ([phone(connectionProperties={"pairingState": "unpaired"})], [], (1, "No iPhone found.")),
        ([phone(connectionProperties={"tunnelState": "unavailable"})], [], (1, "No iPhone")),
        ([], [], (1, "No iPhone found. Connect it, unlock it, tap Trust")),
    ],
)
def test_a_phone_is_picked(
    pick: Pick, devices: list[Any], wanted: list[str], answer: tuple[int, str]
) -> None:
    code, text = pick("phone", {"result": {"devices": devices}}, *wanted)
    assert code == answer[0]
    assert text.startswith(answer[1])


@pytest.mark.parametrize(
    ("wanted", "answer"), [([], "NEW"), (["iPad"], "PAD"), (["iphone 16"], "OLD")]
)
def test_a_simulator_is_picked(pick: Pick, wanted: list[str], answer: str) -> None:
    assert pick("simulator", SIMULATORS, *wanted) == (0, answer)


def test_no_simulator(pick: Pick) -> None:
    code, text = pick("simulator", {"devices": {}})
    assert code == 1
    assert text.startswith("No simulator found. Install one in Xcode")


def test_wrong_arguments_print_the_usage(pick: Pick) -> None:
    code, text = pick("watch", {})
    assert code == 1
    assert "Usage: pick_device.py phone|simulator FILE" in text


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on the PATH")
@pytest.mark.parametrize(
    ("target", "commands"),
    [
        (
            ["device", "TEAM=A1B2C3D4E5"],
            [
                "xcrun devicectl list devices --json-output build/phones.json",
                "-allowProvisioningUpdates",
                "DEVELOPMENT_TEAM=A1B2C3D4E5 build",
                "xcrun devicectl device install app --device",
                "xcrun devicectl device process launch --device",
                '"$(plutil -extract CFBundleIdentifier raw '
                '"build/Build/Products/Debug-iphoneos/Digits.app/Info.plist")"',
            ],
        ),
        (["simulator"], ["xcrun simctl bootstatus", "xcrun simctl launch", "Digits.xcodeproj"]),
        (["test"], ["swift test --package-path RecognizerKit", '-destination "id=$(cat']),
    ],
)
def test_make_runs_the_right_commands(
    digits_app: Path, target: list[str], commands: list[str]
) -> None:
    run = subprocess.run(
        ["make", "--dry-run", *target], cwd=digits_app, capture_output=True, text=True, check=True
    )
    for command in commands:
        assert command in run.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on the PATH")
def test_make_without_team_passes_no_team(digits_app: Path) -> None:
    run = subprocess.run(
        ["make", "--dry-run", "device"], cwd=digits_app, capture_output=True, text=True, check=True
    )
    assert "DEVELOPMENT_TEAM" not in run.stdout


def test_the_workflow_runs_the_tests_on_a_mac(digits_app: Path) -> None:
    workflow = yaml.safe_load((digits_app / ".github/workflows/build.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert job["runs-on"].startswith("macos-")
    assert job["steps"][-1] == {"run": "make test"}


def test_every_path_in_the_readme_exists(digits_app: Path) -> None:
    text = (digits_app / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# Digits\n")
    assert "one of 11 classes" in text
    for name in re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE):
        assert (digits_app / name).exists(), name
    for words in ("Trust", "Developer Mode", "TestFlight", "make device TEAM=", "seven days"):
        assert words in text


def test_no_placeholder_is_left(digits_app: Path) -> None:
    for path in digits_app.rglob("*"):
        if path.is_file() and path.suffix in (".swift", ".md", ".json", ".xcscheme", ".xcconfig"):
            assert not re.search("[«»]", path.read_text(encoding="utf-8")), path
