"""Times the recipe `quick` as it is shipped.

    python ours.py mnist.npz EPOCHS SEED

EPOCHS is ignored; the recipe sets the number of epochs.
"""

import json
import sys
import time

started = time.perf_counter()

import numpy as np  # noqa: E402

from pocketlens.data import Dataset  # noqa: E402
from pocketlens.evaluation.accuracy import evaluate  # noqa: E402
from pocketlens.recipe import load_recipe  # noqa: E402
from pocketlens.training import train  # noqa: E402

imported = time.perf_counter()

if __name__ == "__main__":
    file, seed = sys.argv[1], sys.argv[3]
    data = np.load(file)
    train_set, test_set = (
        Dataset(data[f"{part}_images"], data[f"{part}_labels"], tuple("0123456789"), part)
        for part in ("train", "test")
    )
    print(json.dumps({"import_seconds": imported - started}), flush=True)
    began = time.perf_counter()
    done = train(load_recipe("quick", [f"seed={seed}"]), train_set)
    called = time.perf_counter() - began
    row = {
        "epoch": len(done.history),
        "seconds": done.seconds,
        "accuracy": evaluate(done.recognizer, test_set).accuracy,
        "call_seconds": called,  # includes the work before the first step and after the last
    }
    print(json.dumps(row), flush=True)
