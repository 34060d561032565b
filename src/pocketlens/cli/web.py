"""`pocketlens web`: write a website that runs a model in the browser, or check one."""

from __future__ import annotations

from dataclasses import asdict
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
from pocketlens.errors import CheckFailedError, OptionError


@command(
    example=(
        "pocketlens web Digits.mlpackage --out site --name Digits",
        "pocketlens web runs/cats -o site --picture tiger.jpg --picture cat.jpg",
        "pocketlens web --check site",
    )
)
@takes_input_options("ink", "crop")
def web(
    file: Annotated[
        Path | None, typer.Argument(help="A Core ML image classifier or a run folder.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The folder to write.")] = None,
    name: Annotated[str | None, typer.Option(help="The page's title, such as 'My Cats'.")] = None,
    picture: Annotated[
        list[Path] | None,
        typer.Option(help="A picture for the icon; repeatable, up to four; default: a letter."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="What runs the model: pocketlens (small), onnxruntime (14 MB, all operators), or "
            "auto: the small one if it can. Default: auto."
        ),
    ] = None,
    engine_files: Annotated[
        Path | None,
        typer.Option(help="The npm package of onnxruntime-web. Default: npm downloads it."),
    ] = None,
    check: Annotated[
        Path | None, typer.Option(help="Check the website in this folder instead.")
    ] = None,
    browser: Annotated[
        bool | None,
        typer.Option(
            help="With --check: whether to run the model in a headless Chromium or Chrome. "
            "Default: if there is one."
        ),
    ] = None,
    *,
    told: InputOptions,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a website that runs a model on any phone, or check one.

    The model runs in the browser: nothing is sent anywhere. Any web server can serve the folder,
    such as python -m http.server --directory site. The camera and the use offline need an https://
    address, or localhost.
    """
    from pocketlens.web import create_web
    from pocketlens.web.check import site_sizes
    from pocketlens.web.listing import read_listing

    if check is not None:
        if file is not None:
            raise OptionError(f"pass either a Core ML file or --check {check}")
        refuse_options(
            "--check only reads a website; remove them",
            out=out,
            name=name,
            force=force,
            picture=picture or None,
            engine=engine,
            engine_files=engine_files,
            **vars(told),
        )
        _check(check, browser=browser, json=json)
        return
    if browser is not None:
        raise OptionError("--browser and --no-browser need --check")
    if file is None or out is None:
        raise OptionError("web needs a Core ML file and --out FOLDER, or --check FOLDER")
    file = core_ml_file(file)
    folder = create_web(
        file,
        out,
        name=name,
        ink=told.ink,
        crop=told.crop,
        pictures=picture or (),
        engine=engine or "auto",
        engine_files=engine_files,
        force=force,
    )
    sizes, listing = site_sizes(folder), read_listing(folder)
    if json:
        found = {"engine": listing.engine, "reason": listing.reason or None}
        print_json({"folder": str(folder), "bytes": sizes, **found})
        return
    say(f"wrote {folder} ({_sizes(sizes)}, engine {listing.engine})")
    if listing.reason:
        say(f"the engine is {listing.engine}, because {listing.reason}")
    say_assumed(file, told)


def _check(folder: Path, *, browser: bool | None, json: bool) -> None:
    from pocketlens.web import check_site, find_browser, run_site
    from pocketlens.web.check import site_sizes
    from pocketlens.web.listing import read_listing

    program = None if browser is False else find_browser()
    if browser and program is None:
        raise OptionError("--browser needs Chromium or Chrome on the PATH; none was found")
    problems, sizes, engine = check_site(folder), site_sizes(folder), read_listing(folder).engine
    run = run_site(folder, program) if program and not problems else None
    if run:
        problems += run.problems
    if json:
        print_json(
            {
                "folder": str(folder),
                "problems": problems,
                "bytes": sizes,
                "engine": engine,
                "run": asdict(run) if run else None,
            }
        )
    elif problems:
        say(*problems)
    else:
        say(f"{folder}: no problems found; {_sizes(sizes)}, engine {engine}")
        if run:
            say(
                f"the model ran on {run.images} images in {Path(run.browser).name}: "
                f"{run.milliseconds:.1f} ms per image; probabilities differ by at most "
                f"{run.largest_difference:.1g} from the Core ML file's"
            )
        elif browser is None:
            say("whether the model runs was not checked: Chromium or Chrome was not found")
    if problems:
        raise CheckFailedError(f"{folder}: {len(problems)} problem(s) found")


def _sizes(sizes: dict[str, int]) -> str:
    from pocketlens.files import size_text

    return f"page {size_text(sizes['page'])}, model {size_text(sizes['model'])}"
