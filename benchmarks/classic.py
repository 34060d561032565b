"""Recipe `classic`: the well-known walk's network, process start to report, three seeds.

    python benchmarks/classic.py

Claim: at least 98.6 % on the MNIST test set.
"""

from measure import seeds, write

if __name__ == "__main__":
    found = seeds("classic", 3)
    write(__file__, found)
    if found["mean_accuracy"] < 0.986:
        raise SystemExit("the claim of 98.6 % does not hold")
