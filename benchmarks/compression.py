"""How small `pocketlens compress` makes the Core ML file of a run, and what that costs.

    python benchmarks/compression.py RUN...    # such as runs/quick runs/tiny
    python benchmarks/compression.py RUN --kinds palette-4,trained-4
    python benchmarks/compression.py RUN --mlmodel         # its network as a neural network

The result of each run is added to the JSON file, under the name of its recipe (and `.mlmodel`).
Sizes are of the whole package. Sizes and accuracies do not depend on how busy the machine is.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from measure import HERE, write
from pocketlens import compress, convert
from pocketlens.recognizer import Recognizer
from pocketlens.run_folder import read_run

BUDGET = 0.3
"""The largest loss, in percentage points."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--kinds", type=lambda text: text.split(","))
    parser.add_argument("--ios", type=int)
    parser.add_argument("--mlmodel", action="store_true")
    given = parser.parse_args()
    target = HERE / f"{Path(__file__).stem}.json"
    found = json.loads(target.read_text()) if target.exists() else {}
    for folder in given.runs:
        run = read_run(folder)
        assert run.model  # the run is finished
        with tempfile.TemporaryDirectory() as place:
            file, name = run.model, run.recipe.name
            if given.mlmodel:
                # Beside the run's own file, as `compress` looks for the images there.
                file, name = folder / "benchmark.mlmodel", f"{name}.mlmodel"
                convert(Recognizer.load(folder), file, force=True)
            started = time.perf_counter()
            result = compress(
                file,
                Path(place) / f"small{file.suffix}",
                max_loss=BUDGET,
                kinds=given.kinds,
                ios=given.ios,
            )
        print(name, result, *result.notes, sep="\n", flush=True)
        found[name] = {
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, "
            f"Python {sys.version.split()[0]}",
            "epochs": run.recipe.training.epochs,
            "seconds": time.perf_counter() - started,
            **{key: value for key, value in result.to_dict().items() if key != "path"},
        }
        write(__file__, found)


if __name__ == "__main__":
    main()
