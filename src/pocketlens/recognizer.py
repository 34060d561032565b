"""`Recognizer`: a trained network with everything that it needs to classify an image."""

from __future__ import annotations

import copy
import json
import math
import os
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pocketlens import networks
from pocketlens.commands import command
from pocketlens.errors import (
    OptionError,
    OutputExistsError,
    PocketlensError,
    RunError,
    instead_of_file,
)
from pocketlens.files import first_bytes, write_aside
from pocketlens.image import InputSpec
from pocketlens.prediction import PlainPredictor, Thresholds
from pocketlens.recipe import Choice
from pocketlens.run_contents import RECIPE, WEIGHTS, run_command

__all__ = ["Recognizer", "planes"]

FORMAT = "pocketlens-weights-2"
BATCH = 500
MOST_PIXELS = 1_200_000
"""A batch has at most `BATCH` images and this many pixels: a layer holds many values for each."""


def planes(images: Tensor, input_spec: InputSpec, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """The input of the network: the same as `InputSpec.network_input`, on the images' device.

    Args:
        images: `(N, C, H, W)` uint8, with channels in the order gray or red, green, blue.
        input_spec: Scale, bias and the order of the channels.
        dtype: Type of the result.

    Returns:
        `(N, C, H, W)` of type `dtype`: `pixel * scale + bias`.
    """
    if input_spec.color == "bgr":
        images = images.flip(1)
    x = images.to(dtype)
    if len(set(input_spec.scale)) == 1 and len(set(input_spec.bias)) == 1:
        return x.mul_(input_spec.scale[0]).add_(input_spec.bias[0])
    scale = torch.tensor(input_spec.scale, dtype=dtype, device=x.device)[:, None, None]
    bias = torch.tensor(input_spec.bias, dtype=dtype, device=x.device)[:, None, None]
    return x.mul_(scale).add_(bias)


class Recognizer(PlainPredictor):
    """A trained network with its classes, input, temperature and thresholds.

    `train` returns one, `convert` turns it into a Core ML file, `save` and `load` store it in a
    file without pickle.

    Args:
        network: A module from float32 planes `(N, C, H, W)` to logits `(N, K)`.
        choice: The `[network]` of the recipe that built the network; None for a module that the
            recipe does not describe, see `train(network=...)`.
        classes: The `K` class names, in the order of the logits.
        input_spec: How pixels become the network's input.
        temperature: Divides the logits before the softmax; above 1, confidences get lower.
        thresholds: How confident a prediction must be for its label to be shown; by default
            `Thresholds()`.
    """

    def __init__(
        self,
        network: nn.Module,
        choice: Choice | None,
        classes: tuple[str, ...],
        input_spec: InputSpec,
        *,
        temperature: float = 1.0,
        thresholds: Thresholds | None = None,
    ) -> None:
        super().__init__(classes, input_spec, thresholds)
        self.network = network.eval()
        self.choice = choice
        self.temperature = temperature

    @property
    def parameters(self) -> int:
        """Number of parameters of the network."""
        return sum(p.numel() for p in self.network.parameters())

    @torch.inference_mode()
    def logits(self, images: NDArray[np.uint8] | Tensor) -> Tensor:
        """Logits `(N, K)` of images `(N, H, W, C)` uint8, not divided by the temperature."""
        device = next(self.network.parameters()).device
        first = torch.as_tensor(images).permute(0, 3, 1, 2)
        pixels = max(1, first.shape[2] * first.shape[3])
        return torch.cat(
            [
                self.network(planes(batch.to(device), self.input_spec)).float()
                for batch in torch.split(first, max(1, min(BATCH, MOST_PIXELS // pixels)))
            ]
        )

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities `(N, K)` of images `(N, H, W, C)` uint8 that already fit `input_spec`."""
        if not len(images):
            return np.zeros((0, len(self.classes)), np.float32)
        scaled = self.logits(images) / self.temperature
        probabilities: NDArray[np.float32] = scaled.softmax(1).cpu().numpy()
        return probabilities

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write weights, classes, InputSpec, temperature and thresholds as one safetensors file.

        Args:
            path: The file to write.
            force: Replace a file that exists.

        Returns:
            The path of the file.

        Raises:
            OutputExistsError: The file exists and `force` is not set.
            OutputError: The file cannot be written.
        """
        path = Path(path)
        if path.exists() and not force:
            raise OutputExistsError(f"{path} exists; choose another name or pass force=True")
        header = {
            "format": FORMAT,
            "network": json.dumps(self._description()),
            "classes": json.dumps(self.classes),
            "input": self.input_spec.to_json(),
            "temperature": repr(self.temperature),
            "thresholds": self.thresholds.to_json(),
        }
        weights = {
            # Contiguous, because the file does not store the strides of a channels_last weight. A
            # clone, because safetensors refuses two tensors that share their memory.
            name: tensor.detach().cpu().contiguous().clone()
            for name, tensor in self.network.state_dict().items()
        }
        write_aside(path, save(weights, metadata=header))
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, network: nn.Module | None = None) -> Recognizer:
        """Read a file that `save` has written.

        Args:
            path: The file, or a run folder that contains it.
            network: For a Recognizer from `train(network=...)`: a module of the same structure. A
                copy of it gets the weights; the module itself does not change.

        Raises:
            RunError: The file does not exist, is damaged or is not a Recognizer; or its weights do
                not fit the network.
            OptionError: `network` is missing for such a file, or given for any other.
        """
        file = Path(path)
        if file.is_dir():
            file = file / WEIGHTS
        try:
            with safe_open(file, framework="pt") as opened:
                header = opened.metadata() or {}
                if header.get("format") != FORMAT:
                    raise RunError(
                        f"{file} is not a Pocketlens recognizer; expected format {FORMAT}, "
                        f"received: {header.get('format')}"
                    )
                names = opened.keys()
                weights = {name: opened.get_tensor(name) for name in names}
            return cls._restore(file, header, weights, network)
        except FileNotFoundError as error:
            is_run = (file.parent / RECIPE).is_file()
            hint = run_command(file.parent, "--resume") if is_run else command("run", "RECIPE")
            raise RunError(f"{file} does not exist; train first: {hint}") from error
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            # ValueError, RecursionError (a RuntimeError): the header's JSON; other RuntimeErrors:
            # PyTorch cannot build the network.
            if (instead := instead_of_file(first_bytes(file))) is not None:
                raise RunError(f"{file} {instead}") from error
            raise RunError(f"{file} cannot be read as a recognizer: {error}") from error
        except PocketlensError as error:
            if isinstance(error, (RunError, _NetworkArgumentError)):
                raise
            raise RunError(f"{file} cannot be read as a recognizer: {error}") from error

    def _description(self) -> dict[str, Any]:
        """The network as the header of a file describes it."""
        if self.choice is None:
            kind = type(self.network)
            return {"module": f"{kind.__module__}.{kind.__qualname__}"}
        return {"name": self.choice.name, **self.choice.options}

    @classmethod
    def _restore(
        cls,
        file: Path,
        header: dict[str, str],
        weights: dict[str, Tensor],
        network: nn.Module | None,
    ) -> Recognizer:
        classes = tuple(json.loads(header["classes"]))
        temperature = float(header["temperature"])
        if len(set(classes)) != len(classes) or not 0 < temperature < math.inf:
            raise ValueError(f"classes {classes}, temperature {temperature}")
        input_spec = InputSpec.from_json(header["input"])
        description = json.loads(header["network"])
        if not isinstance(description, dict):
            raise ValueError(f"network {description!r}")
        choice: Choice | None = None
        if "module" in description:
            expected = str(description["module"])
            module = _copy_of(network, file, expected)
            _load_weights(module, weights, file, expected)
        else:
            choice = Choice(description.pop("name"), description)
            if network is not None:
                raise _NetworkArgumentError(
                    f"{file} contains the network '{choice.name}' of a recipe, which needs no "
                    f"network argument; load it with Recognizer.load({str(file)!r})"
                )
            module = _built(choice, input_spec, len(classes), weights, file)
        thresholds = Thresholds.from_json(header["thresholds"])
        return cls(
            module, choice, classes, input_spec, temperature=temperature, thresholds=thresholds
        )


class _NetworkArgumentError(OptionError):
    """The argument `network` of `Recognizer.load` is missing or not wanted."""


def _built(
    choice: Choice, input_spec: InputSpec, classes: int, weights: dict[str, Tensor], file: Path
) -> nn.Module:
    """The network of a recipe with these weights.

    It is first built without memory: the file could describe one that takes all memory, and random
    weights that are replaced at once would take time.
    """
    with torch.device("meta"):
        module = networks.build(choice, input_spec, classes)
    kinds = [tensor.dtype for tensor in module.state_dict().values()]
    _load_weights(module, weights, file, choice.name, assign=True)
    values = [*module.parameters(), *module.buffers()]
    same = kinds == [tensor.dtype for tensor in module.state_dict().values()]
    if not same or any(tensor.is_meta for tensor in values):  # such as buffers that are not saved
        module = networks.build(choice, input_spec, classes)
        _load_weights(module, weights, file, choice.name)
    return module


def _load_weights(
    module: nn.Module,
    weights: dict[str, Tensor],
    file: Path,
    expected: str,
    *,
    assign: bool = False,
) -> None:
    """Give the module its weights.

    Raises:
        RunError: Their names or shapes are not the module's.
    """
    try:
        module.load_state_dict(weights, assign=assign)
    except RuntimeError as error:
        raise RunError(
            f"the weights in {file} do not fit the network {type(module).__name__}: "
            f"{shorten(str(error), 500, placeholder=' …')}; expected the weights of {expected}"
        ) from error


def _copy_of(network: object, file: Path, name: str) -> nn.Module:
    if not isinstance(network, nn.Module):
        received = "no network" if network is None else repr(network)
        raise _NetworkArgumentError(
            f"{file} contains the weights of {name}, a module that was passed to "
            f"train(network=...), but not its code; received: {received}; pass the module too: "
            f"Recognizer.load({str(file)!r}, network={name.rpartition('.')[2]}(...))"
        )
    return copy.deepcopy(network)
