"""Checkpoints: all that a training needs to go on as if it had not stopped. No pickles."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pocketlens.data import Dataset
from pocketlens.errors import RunError
from pocketlens.files import write_aside
from pocketlens.training.muon import Muon

__all__ = ["Checkpoint"]

FORMAT = "pocketlens-checkpoint-2"
GROUPS = ("weights", "best", "optimizer", "teacher")
Weights = dict[str, Tensor]


@dataclass
class Checkpoint:
    """The state of a training after a finished epoch.

    Args:
        recipe: TOML of the recipe that is being trained.
        data: `fingerprint` of the images that it is trained on.
        history: One row an epoch; the last one's `epoch` is how far it got.
        best_epoch: The epoch whose weights are `best`.
        weights: The network's state after the last epoch.
        best: The network's state after the best epoch.
        optimizer: Tensors of the optimizer, keyed `<parameter index>.<name>`.
        teacher: The teacher's state, if there is one.
    """

    recipe: str
    data: str
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    weights: Weights = field(default_factory=dict)
    best: Weights = field(default_factory=dict)
    optimizer: Weights = field(default_factory=dict)
    teacher: Weights = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write one safetensors file, aside and renamed.

        Raises:
            OutputError: It cannot be written, or its folder was lost meanwhile; an earlier
                checkpoint stays as it was.
        """
        groups = {group: getattr(self, group) for group in GROUPS}
        tensors = {
            f"{group}/{name}": tensor.detach().cpu().contiguous().clone()
            for group, named in groups.items()
            for name, tensor in named.items()
        }
        header = {
            "format": FORMAT,
            "recipe": self.recipe,
            "data": self.data,
            "history": json.dumps(self.history),
            "best_epoch": str(self.best_epoch),
        }
        write_aside(path, save(tensors, metadata=header), parents=False)

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Read what `write` wrote.

        Raises:
            RunError: A file that `write` did not write, or that is damaged.
        """
        try:
            with safe_open(path, framework="pt") as stored:
                header = stored.metadata() or {}
                if header.get("format") != FORMAT:
                    raise RunError(
                        f"{path} is not a checkpoint of Pocketlens; expected format {FORMAT}, "
                        f"received: {header.get('format')}; start again with --force"
                    )
                found = cls(
                    header["recipe"],
                    header["data"],
                    json.loads(header["history"]),
                    int(header["best_epoch"]),
                )
                for key in stored.keys():  # noqa: SIM118 - no mapping
                    group, _, name = key.partition("/")
                    if group not in GROUPS:
                        raise KeyError(key)
                    # Copied: what is got is a view of the file, in which training would live.
                    getattr(found, group)[name] = stored.get_tensor(key).clone()
                return found
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise RunError(
                f"{path} cannot be read as a checkpoint: {error}; start again with --force"
            ) from error


def fingerprint(data: Dataset, validation: Dataset) -> str:
    """A line that tells one pair of data sets from another, every pixel and label included."""
    checksum = zlib.crc32(repr(data.classes).encode())
    for part in (data, validation):
        for array in (part.images, part.labels):
            checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
    return (
        f"{len(data)} + {len(validation)} images in {len(data.classes)} classes, "
        f"checksum {checksum:08x}"
    )


def optimizer_tensors(optimizer: torch.optim.Optimizer | Muon) -> Weights:
    """The optimizer's state as tensors by name."""
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer | Muon, tensors: Weights) -> None:
    """The inverse of `optimizer_tensors`."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        parameter = parameters[int(number)]
        if tensor.shape == parameter.shape:
            # Fused steps walk parameter and state in memory order: the strides must agree.
            tensor = torch.empty_like(parameter, requires_grad=False).copy_(tensor)
        state.setdefault(int(number), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def copy_of(network: nn.Module) -> Weights:
    """A copy of the network's state that further training leaves alone."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
