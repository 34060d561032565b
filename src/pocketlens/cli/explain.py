"""`pocketlens explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pocketlens.cli.inputs import InputOptions, core_ml_file, takes_input_options
from pocketlens.cli.shell import Force, Json, command, print_json, say


@command(
    example=(
        "pocketlens explain Cats.mlpackage photo.jpg",
        "pocketlens explain runs/cats photo.jpg --label big-cat -o why.png",
        "pocketlens explain Cats.mlpackage photo.jpg --json",
    )
)
@takes_input_options()
def explain(
    file: Annotated[Path, typer.Argument(help="A Core ML file or a run folder.")],
    image: Annotated[Path, typer.Argument(help="An image file.")],
    label: Annotated[
        str | None, typer.Option(help="The label to explain; default: the model's answer.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The picture to write; default: IMAGE-explained.png here, none with --json.",
        ),
    ] = None,
    *,
    told: InputOptions,
    force: Force = False,
    json: Json = False,
) -> None:
    """Show which parts of an image speak for a label.

    Writes a picture: orange parts speak for the label, blue ones against it. The numbers come from
    the Core ML file's own last feature map; for a model without one, parts of the image are covered
    one after another. The output says which of the two was done.
    """
    from pocketlens.coreml.file.time_limit import default_time_limit
    from pocketlens.explanation import METHODS
    from pocketlens.explanation import explain as find
    from pocketlens.explanation.heat import shown_picture
    from pocketlens.files import refuse_existing
    from pocketlens.model_files import load

    target = out or (None if json else Path(f"{image.stem}-explained.png"))
    if target is not None and not force:
        refuse_existing(target)
    model = told.applied(load(core_ml_file(file), time_limit=default_time_limit()))
    found = find(model, image, label=label)
    if target is not None:
        from pocketlens.report.figures import draw_explanation

        draw_explanation(shown_picture(image, model.input_spec), found, target)
    if json:
        picture = None if target is None else str(target)
        print_json({"image": str(image), **found.to_dict(), "picture": picture})
        return
    say(
        f"{image}: {found.label} {100 * found.confidence:.2f} %",
        f"method: {METHODS[found.method]}",
        f"half of what speaks for it is in {100 * found.share:.0f} % of the image",
        f"wrote {target}",
    )
