"""Training time on a quiet machine and next to two busy processes, for each waiting policy.

    python benchmarks/busy.py

Claims: adapting the threads costs at most 3 % on a quiet machine; next to two busy loops, training
takes at most 2.5 times as long as on a quiet one. On two processors, a fair share of the time would
make it twice as long.
"""

import os
import statistics
import subprocess
import sys
import time

from measure import write

ROUNDS = 3
LIMIT = 60.0
"""Seconds after which a training is stopped; PyTorch's own policy may take minutes."""

BUSY = 2
"""Busy loops next to the training."""

FIXED = {"OMP_NUM_THREADS": str(os.cpu_count())}  # then `train` does not adapt the threads
POLICIES = {
    "pocketlens": {},
    "pytorch": FIXED,
    "passive": FIXED | {"OMP_WAIT_POLICY": "passive"},
    "spin 1000": FIXED | {"GOMP_SPINCOUNT": "1000"},
    "spin 20000": FIXED | {"GOMP_SPINCOUNT": "20000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}

TRAINING = """
import sys, pocketlens
recipe = pocketlens.load_recipe("quick")
data = pocketlens.load_data("mnist", input_spec=recipe.input)
pocketlens.train(recipe, data.subset(range(2000)))  # warm-up
print("ready", flush=True)
sys.stdin.readline()
print(pocketlens.train(recipe, data).seconds)
"""


def loops(count: int) -> list[subprocess.Popen[bytes]]:
    """Start processes that each keep one processor busy."""
    return [subprocess.Popen([sys.executable, "-S", "-c", "while 1: pass"]) for _ in range(count)]


def training_seconds(policy: str, busy: int) -> float:
    """Seconds of one epoch of `quick`; `LIMIT` if it takes longer."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    child = subprocess.Popen(
        [sys.executable, "-c", TRAINING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment | POLICIES[policy],
    )
    others: list[subprocess.Popen[bytes]] = []
    try:
        assert child.stdout
        child.stdout.readline()  # the imports and the data are loaded while nothing else runs
        others = loops(busy)
        time.sleep(0.5)  # they run before the training starts
        out, _ = child.communicate("go\n", timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return LIMIT
    finally:
        for each in [*others, child]:
            each.kill()
            each.wait()
    return float(out)


if __name__ == "__main__":
    runs: dict[str, dict[str, list[float]]] = {name: {"quiet": [], "busy": []} for name in POLICIES}
    for _ in range(ROUNDS):
        for name in POLICIES:
            runs[name]["quiet"].append(training_seconds(name, 0))
            runs[name]["busy"].append(training_seconds(name, BUSY))
    seconds = {
        name: {where: statistics.median(found) for where, found in each.items()}
        for name, each in runs.items()
    }
    # A ratio for each round, because the speed of the machine changes between rounds.
    base = runs["pytorch"]["quiet"]
    ratios = {
        name: {
            where: statistics.median(a / b for a, b in zip(found, base, strict=True))
            for where, found in each.items()
        }
        for name, each in runs.items()
    }
    write(__file__, {"seconds": seconds, "ratios to pytorch, quiet": ratios, "runs": runs})
    ours = ratios["pocketlens"]
    if ours["quiet"] > 1.03 or ours["busy"] > 2.5:
        raise SystemExit("the claims do not hold")
