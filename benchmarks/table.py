"""The README's figures, from the JSON that the other scripts here have written.

python benchmarks/table.py    # puts them into README.md; a test holds that they are in it
"""

import json
import re
from pathlib import Path

from pocketlens.evaluation import percent
from pocketlens.files import size_text

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
FOR_CAMERAS = ("digits",)
"""Recipes that were made for photographs; the others guess there."""

BLOCK = re.compile(r"<!-- figures -->\n.*?<!-- /figures -->", re.DOTALL)


def duration(seconds: float) -> str:
    """`2.9 s`, `91 s`, `36 min`."""
    if seconds >= 600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def figures() -> str:
    """The block of README.md between its two comments."""
    measured = json.loads((HERE / "recipes.json").read_text())
    lines = [
        "<!-- figures -->",
        "| recipe | clean | photographs | nothing | calibration | parameters | Core ML file "
        "| training | whole run | one image |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in sorted(measured, key=lambda name: measured[name]["mean"]["parameters"]):
        mean, median = measured[name]["mean"], measured[name]["median"]
        camera = ("–", "–", percent(mean["calibration_error"]))
        if name in FOR_CAMERAS:
            camera = (
                percent(mean["camera_accuracy"]),
                percent(mean["false_digits"]),
                f"{camera[2]}, {percent(mean['camera_calibration_error'])}",
            )
        lines.append(
            f"| `{name}` | {percent(mean['accuracy'])} | {' | '.join(camera)} "
            f"| {median['parameters']:,.0f} | {size_text(round(median['file_bytes']))} "
            f"| {duration(median['training_seconds'])} | {duration(median['seconds'])} "
            f"| {median['milliseconds_per_image']:.2f} ms |"
        )
    start = json.loads((HERE / "startup.json").read_text())
    lines += [
        "",
        f"`pocketlens --help` takes {start['help']:.2f} s; `pocketlens predict`, from process "
        f"start to the answer, {start['predict']:.2f} s.",
        "<!-- /figures -->",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    README.write_text(BLOCK.sub(lambda _: figures(), README.read_text(encoding="utf-8")))
