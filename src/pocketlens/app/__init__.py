"""Core ML file -> a complete iPhone app project; also checks such a project.

The steps: names and identifiers (`names`), what the app knows of the model (`spec`), an in-memory
Xcode project (`project`, `pbxproj`), every file of the app (`contents`, `artwork`, `templates/`),
the folder (`writer`). `check` reads an app folder and reports everything that would fail in Xcode.
"""

from __future__ import annotations

from pocketlens.app.check import check_app
from pocketlens.app.create import create_app
from pocketlens.app.names import check_options
from pocketlens.app.writer import changed_files

__all__ = ["changed_files", "check_app", "check_options", "create_app"]
