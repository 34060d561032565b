"""Which class names can be the names of folders, on every operating system."""

from __future__ import annotations

from pocketlens.prediction import class_name_errors

__all__ = ["folder_name_error"]

MAX_NAME_BYTES = 200
"""The longest class name that is used as a folder name, in bytes."""

INVALID_CHARACTERS = '/\\:*?"<>|'
WINDOWS_DEVICES = {
    "aux",
    "con",
    "nul",
    "prn",
    *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10)),
}
"""Names that Windows reserves for devices, also with an extension."""


def folder_name_error(name: str) -> str:
    """Why a class name cannot be a folder name; empty if it can, on every operating system.

    Examples:
        >>> folder_name_error("aux.1")
        'Windows reserves it for a device'
        >>> folder_name_error("cat")
        ''
    """
    if not name.strip():
        return "it is empty"
    if set(INVALID_CHARACTERS) & set(name):
        return (
            f"it has one of the characters {' '.join(INVALID_CHARACTERS)}, which folder names "
            "cannot have"
        )
    if class_name_errors([name]):
        return "it has control or invisible characters"
    if name.strip(" .") != name:
        return "it starts or ends with a space or a dot"
    if name.partition(".")[0].casefold() in WINDOWS_DEVICES:
        return "Windows reserves it for a device"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"it is longer than {MAX_NAME_BYTES} bytes"
    return ""
