"""Write the figures in README.md and in the recipes' headers, from the JSON of the other scripts.

python benchmarks/table.py    # a test checks that the files are up to date
"""

import json
import re
import textwrap
from pathlib import Path

from pocketlens.evaluation.accuracy import percent
from pocketlens.files import size_text

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
RECIPES = HERE.parent / "src" / "pocketlens" / "recipes"
FOR_CAMERAS = ("digits",)
"""Recipes that are made for photos; the others cannot classify photos."""

BLOCK = re.compile(r"<!-- figures -->\n.*?<!-- /figures -->", re.DOTALL)
HEADER = re.compile(r"(?<=\n)# Measured by [^\n]*(\n# [^\n]*)*")
WIDTH = 100


def duration(seconds: float) -> str:
    """`2.9 s`, `91 s`, `36 min`."""
    if seconds >= 600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def figures() -> str:
    """The block of README.md, including the two comments around it."""
    measured = json.loads((HERE / "recipes.json").read_text())
    lines = [
        "<!-- figures -->",
        "| recipe | clean | photos | false positives | calibration | parameters | Core ML file "
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
    race = json.loads((HERE / "training.json").read_text())["race"]
    to_99 = {name: duration(runner["seconds_to_99"]) for name, runner in race.items()}
    start = json.loads((HERE / "startup.json").read_text())
    lines += [
        "",
        f"Training time until 99 % on the test set: `quick` {to_99['quick']}; its network in a "
        f"plain PyTorch loop {to_99['plain PyTorch']}; the network of the well-known Keras "
        f"tutorial {to_99['Keras walk, tensorflow']} with TensorFlow and "
        f"{to_99['Keras walk, torch']} with PyTorch.",
        f"`pocketlens --help` takes {start['help']:.2f} s, and `pocketlens predict` "
        f"{start['predict']:.2f} s, from the start of the process to the prediction; all of "
        f"`pocketlens run quick` takes {start['run quick']:.1f} s.",
        busy(),
        photos(),
        "",
        runtime(),
        conformance(),
        "<!-- /figures -->",
    ]
    return "\n".join(lines)


def busy() -> str:
    """A sentence: how long training takes next to busy processes."""
    ratios = json.loads((HERE / "busy.json").read_text())["ratios to pytorch, quiet"]
    return (
        f"Next to two busy processes, training takes {ratios['pocketlens']['busy']:.1f} times as "
        f"long as on a quiet machine; with PyTorch's own number of threads, "
        f"{ratios['pytorch']['busy']:.1f} times."
    )


def photos() -> str:
    """Two sentences: how long photos take."""
    measured = json.loads((HERE / "photos.json").read_text())
    run, again, rates = measured["run"], measured["run with cached features"], measured["rates"]
    decoded = rates["decoded"]["PyTorch DataLoader"]["pocketlens_is_faster_by"]
    embedded = rates["embedded"]["PyTorch"]["pocketlens_is_faster_by"]
    return (
        f"`pocketlens run photos` on {measured['photos']} photos of 1600 × 1200 pixels takes "
        f"{duration(run['seconds'])} from the start of the process to the report, and "
        f"{duration(again['seconds'])} when it finds their features in the cache; it needs "
        f"{size_text(round(run['peak_megabytes'] * 1e6))} of memory. It decodes {decoded:.1f} "
        f"times as many images per second as a PyTorch DataLoader with two workers, and computes "
        f"features {embedded:.1f} times as fast as PyTorch."
    )


def runtime() -> str:
    """Two sentences: how fast Core ML files run."""
    measured = json.loads((HERE / "runtime.json").read_text())
    graphs = [row["times_of_onnx"] for row in measured.values()]
    names = {"resnet50": "ResNet-50", "mobilenet": "MobileNet", "vit": "ViT"}
    large = [f"{measured[key]['run_times_of_onnx']:.2f} ({name})" for key, name in names.items()]
    return (
        f"In ONNX Runtime, the graph of a Core ML file takes {min(graphs):.2f} to "
        f"{max(graphs):.2f} times as long as the ONNX file that PyTorch itself exports. With the "
        f"preparation of the image and the lookup of the label: {', '.join(large)}."
    )


def conformance() -> str:
    """A sentence: how many of coremltools' own tests pass."""
    table = json.loads((HERE.parent / "conformance" / "table.json").read_text())

    def count(kind: str) -> int:
        return sum(suite["outcomes"].get(kind, 0) for suite in table["suites"].values())

    return (
        f"Of coremltools' own tests, {count('passed'):,} make a prediction here and pass, "
        f"{count('failed')} fail, and {count('listed')} fail for a known reason "
        "([the table](conformance/TABLE.md))."
    )


def header(name: str) -> str:
    """The lines of a recipe's header with its measurements."""
    if name == "photos":
        return wrapped(photos_header())
    if name == "doodles":
        return wrapped(doodles_header())
    measured = json.loads((HERE / "recipes.json").read_text())[name]
    mean, median, seeds = measured["mean"], measured["median"], measured["seeds"]
    found = [f"{percent(mean['accuracy'])} on the MNIST test set"]
    if name in FOR_CAMERAS:
        found += [
            f"{percent(mean['camera_accuracy'])} on simulated photos",
            f"{percent(mean['false_digits'])} false positives on empty scenes",
            f"calibration error {percent(mean['calibration_error'])}, on photos "
            f"{percent(mean['camera_calibration_error'])}",
        ]
    found += [
        f"{median['parameters']:,.0f} parameters",
        size_text(round(median["file_bytes"])),
        f"trained in {duration(median['training_seconds'])} on two cores",
    ]
    of = "one seed" if seeds == 1 else f"{seeds} seeds"
    return wrapped(f"Measured by benchmarks/recipes.py, {of}: {'; '.join(found)}.")


def doodles_header() -> str:
    """The same for the recipe `doodles`."""
    measured = json.loads((HERE / "doodles.json").read_text())
    median, seeds = measured["median"], measured["seeds"]
    return (
        f"Measured by benchmarks/doodles.py, {seeds} seeds: {percent(median['accuracy'])} of the "
        f"built-in test drawings; {percent(median['bitmaps'])} of real drawings of five things, "
        f"{percent(median['page'])} of those redrawn on the page; "
        f"{median['parameters']:,.0f} parameters; {size_text(round(median['file_bytes']))}; "
        f"trained in {duration(median['training_seconds'])} on two cores."
    )


def photos_header() -> str:
    """The same for the recipe `photos`."""
    measured = json.loads((HERE / "photos.json").read_text())
    return (
        f"Measured by benchmarks/photos.py: {measured['photos']} photos of 1600 × 1200 pixels take "
        f"{duration(measured['run']['seconds'])} on two cores, from the start of the process to "
        f"the report; {duration(measured['run with cached features']['seconds'])} when their "
        "features are in the cache."
    )


def wrapped(text: str) -> str:
    """The text as comment lines."""
    kept_together = re.sub(r"(?<=\d) ", "\u00a0", text)  # so that units stay with numbers
    lines = textwrap.fill(kept_together, WIDTH, initial_indent="# ", subsequent_indent="# ")
    return lines.replace("\u00a0", " ")


def main() -> None:
    """Write the figures into README.md and into the headers of all recipes."""
    README.write_text(BLOCK.sub(lambda _: figures(), README.read_text(encoding="utf-8")))
    measured = json.loads((HERE / "recipes.json").read_text())
    names = [*measured, "photos", *(["doodles"] if (HERE / "doodles.json").exists() else [])]
    for path in sorted(RECIPES / f"{name}.toml" for name in names):
        text = path.read_text(encoding="utf-8")
        path.write_text(HEADER.sub(lambda _, name=path.stem: header(name), text, count=1))


if __name__ == "__main__":
    main()
