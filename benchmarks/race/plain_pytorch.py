"""Times the network of the recipe `quick`, trained as in a beginner's tutorial.

    python plain_pytorch.py mnist.npz EPOCHS SEED

A Dataset of float tensors, a DataLoader with default settings, AdamW at a constant 0.001, batches
of 128. It is evaluated after each quarter of an epoch; evaluation is not timed.
"""

import json
import sys
import time

started = time.perf_counter()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

imported = time.perf_counter()

from pocketlens import networks  # noqa: E402
from pocketlens.recipe import load_recipe  # noqa: E402


def tensors(data: np.lib.npyio.NpzFile, part: str) -> TensorDataset:
    images = torch.from_numpy(data[f"{part}_images"]).permute(0, 3, 1, 2).float() / 255
    return TensorDataset(images.contiguous(), torch.from_numpy(data[f"{part}_labels"]))


@torch.no_grad()
def accuracy(network: nn.Module, test: TensorDataset) -> float:
    network.eval()
    images, labels = test.tensors
    answers = torch.cat([network(batch).argmax(1) for batch in images.split(500)])
    network.train()
    return float((answers == labels).float().mean())


if __name__ == "__main__":
    file, epochs, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.manual_seed(seed)
    data = np.load(file)
    train, test = tensors(data, "train"), tensors(data, "test")
    recipe = load_recipe("quick")
    network = networks.build(recipe.network, recipe.input, 10)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    loss_function = nn.CrossEntropyLoss()
    loader = DataLoader(train, batch_size=128, shuffle=True)
    quarters = {round(len(loader) * part / 4) for part in (1, 2, 3, 4)}
    print(json.dumps({"import_seconds": imported - started}), flush=True)
    seconds, found = 0.0, 0.0
    for epoch in range(epochs):
        began = time.perf_counter()
        for step, (images, labels) in enumerate(loader, start=1):
            optimizer.zero_grad()
            loss = loss_function(network(images), labels)
            loss.backward()
            optimizer.step()
            if step in quarters:
                seconds += time.perf_counter() - began
                found = accuracy(network, test)
                row = {"epoch": epoch + step / len(loader), "seconds": seconds, "accuracy": found}
                print(json.dumps(row), flush=True)
                if found >= 0.99:
                    break
                began = time.perf_counter()
        if found >= 0.99:
            break
