"""`pocketlens app`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pocketlens.cli.shell import Force, Json, command, print_json
from pocketlens.errors import CheckFailedError, OptionError


@command(
    example=(
        "pocketlens app Digits.mlpackage --out DigitsApp --name Digits",
        "pocketlens app Digits.mlpackage -o DigitsApp --bundle-id com.me.digits --team ABCDE12345",
        "pocketlens app --check DigitsApp",
    )
)
def app(
    file: Annotated[Path | None, typer.Argument(help="A Core ML image classifier.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The app's folder.")] = None,
    name: Annotated[str | None, typer.Option(help="The app's name.")] = None,
    bundle_id: Annotated[str | None, typer.Option(help="Such as com.me.digits.")] = None,
    team: Annotated[str | None, typer.Option(help="Apple team id, ten characters.")] = None,
    check: Annotated[Path | None, typer.Option(help="Check this app folder instead.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write an iPhone app around a Core ML file, or check one."""
    from pocketlens.app import check_app, create_app

    if check is not None:
        faults = check_app(check)
        if json:
            print_json({"folder": str(check), "faults": faults})
        else:
            print("\n".join(faults) if faults else f"{check}: no fault found")
        if faults:
            raise CheckFailedError(f"{check} has {len(faults)} fault(s)")
        return
    if file is None or out is None:
        raise OptionError("app needs a Core ML file and --out FOLDER, or --check FOLDER")
    folder = create_app(file, out, name=name, bundle_id=bundle_id, team=team, force=force)
    project = next(folder.glob("*.xcodeproj"))
    if json:
        print_json({"app": str(folder), "project": str(project)})
    else:
        print(f"wrote {project}; how to get it onto a phone: {folder / 'README.md'}")
