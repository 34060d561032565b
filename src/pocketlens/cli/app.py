"""`pocketlens app`: write an iPhone app, or check one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pocketlens.cli.inputs import (
    InputOptions,
    core_ml_file,
    refuse_options,
    say_assumed,
    takes_input_options,
)
from pocketlens.cli.shell import Force, Json, command, print_json, say
from pocketlens.errors import AppError, CheckFailedError, OptionError


@command(
    example=(
        "pocketlens app Digits.mlpackage --out DigitsApp --name Digits",
        "pocketlens app Digits.mlpackage -o DigitsApp --bundle-id com.me.digits --team A1B2C3D4E5",
        "pocketlens app Foreign.mlmodel -o App --ink light     # drawings in white on black",
        "pocketlens app runs/cats -o CatsApp --picture tiger.jpg --picture cat.jpg",
        "pocketlens app --check DigitsApp",
    )
)
@takes_input_options("ink", "crop")
def app(
    file: Annotated[
        Path | None, typer.Argument(help="A Core ML image classifier or a run folder.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The folder to write.")] = None,
    name: Annotated[str | None, typer.Option(help="The app's name, such as 'Digit Lens'.")] = None,
    bundle_id: Annotated[str | None, typer.Option(help="For example com.me.digits.")] = None,
    team: Annotated[str | None, typer.Option(help="Apple team id, 10 characters.")] = None,
    picture: Annotated[
        list[Path] | None,
        typer.Option(help="A picture for the icon; repeatable, up to four; default: a letter."),
    ] = None,
    check: Annotated[
        Path | None, typer.Option(help="Check the app in this folder instead.")
    ] = None,
    *,
    told: InputOptions,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write an iPhone app for a Core ML file, or check such an app.

    Scale, color order and labels are inside the Core ML file: to change them, write a new file with
    `pocketlens convert FILE --color rgb --out NEW`.
    """
    from pocketlens.app import changed_files, check_app, create_app

    if check is not None:
        if file is not None:
            raise OptionError(f"pass either a Core ML file or --check {check}")
        refuse_options(
            "--check only reads an app; remove them",
            **{"out": out, "name": name, "bundle-id": bundle_id, "team": team, "force": force},
            picture=picture or None,
            **vars(told),
        )
        problems = check_app(check)
        try:
            changed = changed_files(check)
        except AppError:  # the list of files is missing or damaged, which is one of the problems
            changed = []
        if json:
            print_json({"folder": str(check), "problems": problems, "changed": changed})
        else:
            say(*(f"changed since it was written: {path}" for path in changed))
            say(*(problems or [f"{check}: no problems found"]))
        if problems:
            raise CheckFailedError(f"{check}: {len(problems)} problem(s) found")
        return
    if file is None or out is None:
        raise OptionError("app needs a Core ML file and --out FOLDER, or --check FOLDER")
    file = core_ml_file(file)
    folder = create_app(
        file,
        out,
        name=name,
        bundle_id=bundle_id,
        team=team,
        ink=told.ink,
        crop=told.crop,
        pictures=picture or (),
        force=force,
    )
    project = next(folder.glob("*.xcodeproj"))
    if json:
        print_json({"app": str(folder), "project": str(project)})
    else:
        say(f"wrote {project}; to install it on a phone, see {folder / 'README.md'}")
        say_assumed(file, told)
