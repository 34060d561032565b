"""Print the id of an iPhone, an iPad or a simulator, from the JSON output of Xcode's tools.

Usage: pick_device.py phone|simulator FILE [PART_OF_NAME]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def phones(listing: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(id, name) of each paired, reachable device, from `devicectl list devices`."""
    for device in listing["result"]["devices"]:
        hardware = device.get("hardwareProperties", {})
        connection = device.get("connectionProperties", {})
        if (
            hardware.get("platform") in ("iOS", "iPadOS")
            and hardware.get("reality", "physical") == "physical"
            and connection.get("pairingState") == "paired"
            and connection.get("tunnelState") != "unavailable"
        ):
            yield hardware["udid"], device.get("deviceProperties", {}).get("name", "")


def simulators(listing: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(id, name) of each iOS simulator, from `simctl list devices`: newest iOS, iPhones first."""
    runtimes = []
    for runtime, devices in listing["devices"].items():
        system, _, version = runtime.rpartition(".")[2].partition("-")
        if system == "iOS":
            runtimes.append(([int(part) for part in version.split("-")], devices))
    for _, devices in sorted(runtimes, key=lambda runtime: runtime[0], reverse=True):
        for device in sorted(devices, key=lambda device: not device["name"].startswith("iPhone")):
            yield device["udid"], device["name"]


HELP = {
    "phone": (
        "No iPhone found. Connect it, unlock it, tap Trust, and turn on Developer Mode "
        "(Settings > Privacy & Security > Developer Mode)."
    ),
    "simulator": "No simulator found. Install one in Xcode > Settings > Components.",
}


def main(arguments: list[str]) -> str | None:
    if len(arguments) not in (2, 3) or arguments[0] not in HELP:
        return __doc__
    kind, path, *rest = arguments
    wanted = rest[0].lower() if rest else ""
    listing = json.loads(Path(path).read_text(encoding="utf-8"))
    found = list(phones(listing) if kind == "phone" else simulators(listing))
    for identifier, name in found:
        if wanted in name.lower():
            sys.stdout.write(identifier + "\n")
            return None
    if found:
        return f"No device matches {wanted!r}; found: {', '.join(name for _, name in found)}."
    return HELP[kind]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
