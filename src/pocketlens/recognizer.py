"""`Recognizer`: a trained network with all that it needs to name an image; one file on disk."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pocketlens import networks
from pocketlens.errors import OutputExistsError, PocketlensError, RunError
from pocketlens.files import write_aside
from pocketlens.image import InputSpec
from pocketlens.prediction import Predictor, Thresholds
from pocketlens.recipe import Choice

__all__ = ["Recognizer", "planes"]

FORMAT = "pocketlens-weights-2"
BATCH = 500


def planes(images: Tensor, input_spec: InputSpec, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """What the first layer sees of a batch: `InputSpec.network_input`, on the images' device.

    Args:
        images: `(N, C, H, W)` uint8 in picture order.
        input_spec: Gives scale, bias and the order of the channels.
        dtype: Type of the result.

    Returns:
        `(N, C, H, W)` of `dtype`, `pixel * scale + bias`.
    """
    if input_spec.color == "bgr":
        images = images.flip(1)
    x = images.to(dtype)
    if len(set(input_spec.scale)) == 1 and len(set(input_spec.bias)) == 1:
        return x.mul_(input_spec.scale[0]).add_(input_spec.bias[0])
    scale = torch.tensor(input_spec.scale, dtype=dtype, device=x.device)[:, None, None]
    bias = torch.tensor(input_spec.bias, dtype=dtype, device=x.device)[:, None, None]
    return x.mul_(scale).add_(bias)


class Recognizer(Predictor):
    """A trained network and all that it needs to name an image.

    Args:
        network: Normalized planes `(N, C, H, W)` → logits `(N, K)`.
        choice: The `[network]` of the recipe that built it.
        classes: The `K` class names.
        input_spec: What the network eats.
        temperature: Logits are divided by it before the softmax; above 1 means less sure.
        thresholds: How sure it must be for its label to be shown.
    """

    def __init__(
        self,
        network: nn.Module,
        choice: Choice,
        classes: tuple[str, ...],
        input_spec: InputSpec,
        *,
        temperature: float = 1.0,
        thresholds: Thresholds | None = None,
    ) -> None:
        self.network = network.eval()
        self.choice = choice
        self.temperature = temperature
        self._thresholds = thresholds or Thresholds()
        self._classes = classes
        self._input_spec = input_spec

    @property
    def classes(self) -> tuple[str, ...]:
        return self._classes

    @property
    def input_spec(self) -> InputSpec:
        return self._input_spec

    @property
    def thresholds(self) -> Thresholds:
        return self._thresholds

    @property
    def parameters(self) -> int:
        """How many numbers the network has learned."""
        return sum(p.numel() for p in self.network.parameters())

    @torch.inference_mode()
    def logits(self, images: NDArray[np.uint8] | Tensor) -> Tensor:
        """Logits `(N, K)`, before the temperature, of images `(N, H, W, C)` uint8."""
        device = next(self.network.parameters()).device
        first = torch.as_tensor(images).permute(0, 3, 1, 2)
        return torch.cat(
            [
                self.network(planes(batch.to(device), self.input_spec)).float()
                for batch in first.split(BATCH)
            ]
        )

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if not len(images):
            return np.zeros((0, len(self.classes)), np.float32)
        scaled = self.logits(images) / self.temperature
        answer: NDArray[np.float32] = scaled.softmax(1).cpu().numpy()
        return answer

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write weights, classes, InputSpec, temperature and thresholds as one safetensors file.

        Raises:
            OutputExistsError: The file is there and `force` is not set.
            OutputError: The file cannot be written.
        """
        path = Path(path)
        if path.exists() and not force:
            raise OutputExistsError(f"{path} exists; choose another name or pass force=True")
        header = {
            "format": FORMAT,
            "network": json.dumps({"name": self.choice.name, **self.choice.options}),
            "classes": json.dumps(self.classes),
            "input": self.input_spec.to_json(),
            "temperature": repr(self.temperature),
            "thresholds": self.thresholds.to_json(),
        }
        weights = {
            # Contiguous: a channels_last weight would be stored with its strides lost.
            name: tensor.detach().cpu().contiguous()
            for name, tensor in self.network.state_dict().items()
        }
        write_aside(path, save(weights, metadata=header))
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recognizer:
        """Read what `save` wrote; `path` is the file, or a run folder that holds it.

        Raises:
            RunError: No such file, or one that `save` did not write.
        """
        file = Path(path)
        if file.is_dir():
            file = file / "weights.safetensors"
        try:
            with safe_open(file, framework="pt") as stored:
                header = stored.metadata() or {}
                if header.get("format") != FORMAT:
                    raise RunError(
                        f"{file} is not a recognizer of Pocketlens; expected format {FORMAT}, "
                        f"received: {header.get('format')}"
                    )
                weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no mapping
            return cls._restore(header, weights)
        except FileNotFoundError as error:
            raise RunError(
                f"{file} does not exist; train first: pocketlens run --out {file.parent}"
            ) from error
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            # ValueError: header JSON; RuntimeError: weights that do not fit the network.
            raise RunError(f"{file} cannot be read as a recognizer: {error}") from error
        except PocketlensError as error:
            if isinstance(error, RunError):
                raise
            raise RunError(f"{file} cannot be read as a recognizer: {error}") from error

    @classmethod
    def _restore(cls, header: dict[str, str], weights: dict[str, Tensor]) -> Recognizer:
        options: dict[str, Any] = json.loads(header["network"])
        choice = Choice(options.pop("name"), options)
        classes = tuple(json.loads(header["classes"]))
        temperature = float(header["temperature"])
        if len(set(classes)) != len(classes) or not 0 < temperature < math.inf:
            raise ValueError(f"classes {classes}, temperature {temperature}")
        input_spec = InputSpec.from_json(header["input"])
        network = networks.build(choice, input_spec, len(classes))
        network.load_state_dict(weights)
        thresholds = Thresholds.from_json(header["thresholds"])
        return cls(
            network, choice, classes, input_spec, temperature=temperature, thresholds=thresholds
        )
