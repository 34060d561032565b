"""`pocketlens web`: write a website that runs a model in the browser, or check one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pocketlens.cli.inputs import (
    InputOptions,
    assumed_text,
    core_ml_file,
    is_run,
    refuse_options,
    takes_input_options,
)
from pocketlens.cli.shell import Force, Json, command, print_json, say
from pocketlens.commands import program
from pocketlens.errors import CheckFailedError, OptionError, require
from pocketlens.run_contents import WEB


@command(
    example=(
        "pocketlens web Digits.mlpackage --out site --name Digits",
        "pocketlens web runs/cats --url https://name.github.io/cats/",
        "pocketlens web runs/cats -o site --picture tiger.jpg --picture cat.jpg",
        "pocketlens web --check site",
    )
)
@takes_input_options("ink", "crop")
def web(
    file: Annotated[
        Path | None, typer.Argument(help="A Core ML image classifier or a run folder.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The folder to write; default: web, in the run folder."),
    ] = None,
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
    url: Annotated[
        str | None, typer.Option(help="The address where you publish it; shown as a QR code.")
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

    The model runs in the browser: nothing is sent anywhere. Any web server can serve the folder.
    The camera and the use offline need an https:// address, or localhost.
    """
    from pocketlens.app.spec import RecognizerSpec
    from pocketlens.qr_code import qr_text
    from pocketlens.report import write_report
    from pocketlens.run_folder import read_run
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
            url=url,
            **vars(told),
        )
        _check(check, browser=browser, json=json)
        return
    if browser is not None:
        raise OptionError("--browser and --no-browser need --check")
    run = read_run(file) if file is not None and is_run(file) else None
    if file is None or (out is None and run is None):
        raise OptionError(
            "web needs a Core ML file and --out FOLDER, or a run folder, or --check FOLDER"
        )
    if url:
        require("segno", purpose="--url")
    target = out or file / WEB
    if run and name is None and not target.exists():
        name = run.recipe.web.name or run.recipe.app.name
    model = core_ml_file(file)
    folder = create_web(
        model,
        target,
        name=name,
        ink=told.ink,
        crop=told.crop,
        pictures=picture or (),
        engine=engine or "auto",
        engine_files=engine_files,
        url=url,
        force=force,
    )
    report = write_report(file) if run and run.report and out is None else None
    sizes, listing = site_sizes(folder), read_listing(folder)
    url = listing.options.get("url")
    if json:
        found = {"folder": str(folder), "report": report and str(report), "url": url}
        found |= {"engine": listing.engine, "reason": listing.reason or None}
        print_json({**found, "bytes": sizes})
        return
    say(f"wrote {folder} ({_sizes(sizes)}, engine {listing.engine})")
    if listing.reason:
        say(f"the engine is {listing.engine}, because {listing.reason}")
    if report:
        say(f"wrote {report}")
    spec = RecognizerSpec.from_json((folder / "recognizer.json").read_text(encoding="utf-8"))
    if text := assumed_text(spec.input):
        say(text)
    serve = program("python", "-m", "http.server", "--directory", folder)
    say(f"to try it, type: {serve}", "then open http://localhost:8000")
    if url:
        say(*qr_text(url).split("\n"))
        if not url.lower().startswith("https:"):
            say("browsers allow the camera, and the use offline, only on https:// pages")
    else:
        say(f"to publish it, see {folder / 'README.md'}")


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
