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
BLOCK = re.compile(r"<!-- figures -->\n.*?<!-- /figures -->", re.DOTALL)


def figures() -> str:
    """The block of README.md between its two comments."""
    lines = [
        "<!-- figures -->",
        "| recipe | accuracy | seeds | training | whole run | peak memory | parameters "
        "| Core ML file | mean \\|Δp\\| | one image |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in ("quick", "classic"):
        found = json.loads((HERE / f"{name}.json").read_text())
        m = found["median"]
        lines.append(
            f"| `{name}` | {percent(found['mean_accuracy'])} | {found['seeds']} "
            f"| {m['training_seconds']:.1f} s | {m['seconds']:.0f} s "
            f"| {m['peak_megabytes']:.0f} MB | {m['parameters']:,.0f} "
            f"| {size_text(round(m['file_bytes']))} | {m['mean_difference']:.1e} "
            f"| {m['milliseconds_per_image']:.2f} ms |"
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
