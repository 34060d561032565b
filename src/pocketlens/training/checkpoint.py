"""Checkpoints: everything that is needed to resume a training exactly. No pickle."""

from __future__ import annotations

import json
import math
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
from pocketlens.data.large_arrays import block_slices, in_memory
from pocketlens.errors import RunError, instead_of_file
from pocketlens.files import first_bytes, write_aside
from pocketlens.history import Epoch
from pocketlens.recipe import Recipe
from pocketlens.run_contents import restart
from pocketlens.training.muon import Muon

__all__ = ["Checkpoint", "copy_of", "fingerprint", "optimizer_tensors", "restore_optimizer"]

FORMAT = "pocketlens-checkpoint-2"
GROUPS = ("weights", "best", "optimizer", "teacher")
Weights = dict[str, Tensor]


@dataclass
class Checkpoint:
    """The state of a training after a finished epoch.

    Args:
        recipe: The recipe, as TOML.
        data: `fingerprint` of the images.
        history: The fields of one `Epoch` per finished epoch, in order.
        best_epoch: Number of the epoch whose weights are `best`, from 1.
        weights: State of the network after the last finished epoch.
        best: State of the network after the best epoch.
        optimizer: Tensors of the optimizer, with keys `<parameter index>.<name>`.
        teacher: State of the teacher; empty without one.
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
        """Write one safetensors file, under a temporary name that is then renamed.

        Raises:
            OutputError: It cannot be written, or its folder was removed; an earlier checkpoint is
                not changed.
        """
        groups = {group: getattr(self, group) for group in GROUPS}
        tensors = {
            f"{group}/{name}": tensor.detach().cpu().contiguous().clone()
            for group, state in groups.items()
            for name, tensor in state.items()
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
        """Read a file that `write` has written.

        Raises:
            RunError: The file is damaged, or is not a checkpoint.
        """
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                if header.get("format") != FORMAT:
                    raise RunError(
                        f"{path} is not a Pocketlens checkpoint; expected format {FORMAT}, "
                        f"received: {header.get('format')}; {restart(path.parent)}"
                    )
                checkpoint = cls(
                    header["recipe"],
                    header["data"],
                    json.loads(header["history"]),
                    int(header["best_epoch"]),
                )
                for key in file.keys():  # noqa: SIM118 - not a mapping
                    group, _, name = key.partition("/")
                    if group not in GROUPS:
                        raise KeyError(key)
                    # A clone, because this tensor is a view of the mapped file.
                    getattr(checkpoint, group)[name] = file.get_tensor(key).clone()
                return checkpoint
        except (SafetensorError, OSError, ValueError, KeyError, RecursionError) as error:
            if (instead := instead_of_file(first_bytes(path))) is not None:
                raise RunError(f"{path} {instead}") from error
            raise RunError(
                f"{path} cannot be read as a checkpoint: {error}; {restart(path.parent)}"
            ) from error

    def check(self, path: Path, recipe: Recipe, data: str) -> None:
        """Check that a training of `recipe` on the images with fingerprint `data` wrote this.

        Args:
            path: Where the checkpoint was read from, for the error message.
            recipe: The recipe of the training that resumes.
            data: `fingerprint` of its images.

        Raises:
            RunError: Another recipe, or other images.
        """
        if self.recipe != recipe.to_toml():
            differences = recipe.differences(Recipe.from_toml(self.recipe))
            raise RunError(
                f"{path} belongs to another recipe ({'; '.join(differences[:5])}); "
                f"resume with that recipe, or {restart(path.parent)}"
            )
        if self.data != data:
            raise RunError(
                f"{path} belongs to other data ({self.data}); received: {data}; "
                f"restore the original images, or {restart(path.parent)}"
            )

    def epochs(self, path: Path) -> list[Epoch]:
        """The history as `Epoch` objects.

        Raises:
            RunError: A row that lacks a field or has an unknown one.
        """
        try:
            return [Epoch(**row) for row in self.history]
        except TypeError as error:
            raise RunError(
                f"the history in {path} is damaged: {error}; {restart(path.parent)}"
            ) from error


def fingerprint(data: Dataset, validation: Dataset) -> str:
    """One line that identifies a pair of data sets, with a checksum of all pixels and labels."""
    checksum = zlib.crc32(repr(data.classes).encode())
    for part in (data, validation):
        for block in block_slices(len(part), math.prod(part.images.shape[1:])):
            images = np.ascontiguousarray(in_memory(part.images[block]))
            checksum = zlib.crc32(images.data, checksum)
        checksum = zlib.crc32(np.ascontiguousarray(part.labels).data, checksum)
    return (
        f"{len(data)} + {len(validation)} images in {len(data.classes)} classes, "
        f"checksum {checksum:08x}"
    )


def optimizer_tensors(optimizer: torch.optim.Optimizer | Muon) -> Weights:
    """The state of the optimizer, as tensors with keys `<parameter index>.<name>`."""
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer | Muon, tensors: Weights) -> None:
    """Load the result of `optimizer_tensors` into an optimizer of the same parameters."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        parameter = parameters[int(number)]
        if tensor.shape == parameter.shape:
            # Fused optimizers read parameter and state in memory order, so strides must be equal.
            tensor = torch.empty_like(parameter, requires_grad=False).copy_(tensor)
        state.setdefault(int(number), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def copy_of(network: nn.Module) -> Weights:
    """A copy of the network's state, which further training does not change."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
