"""The network that is trained: the recipe's `[network]`, or a module that the caller passes."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pocketlens import networks
from pocketlens.errors import OptionError
from pocketlens.image import InputSpec
from pocketlens.recipe import Recipe, TrainingOptions
from pocketlens.recognizer import planes
from pocketlens.registry import NETWORKS
from pocketlens.training.start import load_start_weights

__all__ = ["build_network"]

TOLERANCE = 1e-3
"""How far from 1 the sum of an image's probabilities may be."""


def build_network(
    recipe: Recipe, network: nn.Module | None, classes: Sequence[str], images: Tensor
) -> nn.Module:
    """The network to train, with its first weights, on the device of the images.

    Args:
        recipe: The recipe; its `[network]` is built if `network` is None.
        network: A module of the caller, which is copied.
        classes: The `K` class names.
        images: `(N, C, H, W)` uint8, the training images.

    Raises:
        OptionError: `network` cannot be trained on these images.
        RunError: `training.start` of the recipe has no weights for this network.
    """
    if network is None:
        module = networks.build(recipe.network, recipe.input, len(classes)).to(images.device)
        if NETWORKS.is_plugin(recipe.network.name):
            _check(module, images[: recipe.training.batch_size], recipe.input, classes)
    else:
        module = _copy(network, recipe.training).to(images.device)
        _check(module, images[: recipe.training.batch_size], recipe.input, classes)
    if recipe.training.channels_last:
        # PyTorch's annotations lack this overload.
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if recipe.training.start:
        load_start_weights(recipe.training.start, module, recipe, classes)
    return module


def _copy(network: object, options: TrainingOptions) -> nn.Module:
    """A copy of the caller's network, so that training does not change the original.

    Args:
        network: What the caller passed as `network`.
        options: `[training]` of the recipe.

    Raises:
        OptionError: It is not a PyTorch module, has nothing to train or cannot be copied, or the
            recipe has options that it cannot be combined with.
    """
    if not isinstance(network, nn.Module):
        received = f"the class {network.__name__}" if isinstance(network, type) else repr(network)
        raise OptionError(
            "network must be a torch.nn.Module object, such as network=MyNetwork(); "
            f"received: {received}"
        )
    name = type(network).__name__
    if isinstance(network, torch.jit.ScriptModule):
        raise OptionError(
            "network is a TorchScript module, whose copy cannot be trained; pass the original "
            "torch.nn.Module"
        )
    if options.start:
        raise OptionError(
            f"training.start cannot be combined with network=; received: {options.start!r}; "
            "load the weights into the network before training and leave training.start empty"
        )
    if options.teacher and not isinstance(getattr(network, "head", None), nn.Linear):
        raise OptionError(
            f"training.teacher needs a network whose last layer is an nn.Linear called 'head'; "
            f"{name} has none; rename its last layer, or set training.teacher to 0"
        )
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise OptionError(
            f"the network {name} has no parameters to train; expected at least one whose "
            "requires_grad is True"
        )
    try:
        return copy.deepcopy(network)
    except Exception as error:  # the network's own code runs here
        raise OptionError(
            f"the network {name} cannot be copied: {_short(error)}; pass a network that "
            "copy.deepcopy can copy"
        ) from error


def _check(
    network: nn.Module, images: Tensor, input_spec: InputSpec, classes: Sequence[str]
) -> None:
    """Run one batch, in evaluation mode and in training mode; weights and statistics do not change.

    Args:
        network: The network, on the device that trains.
        images: `(N, C, H, W)` uint8, on the same device.
        input_spec: How pixels become the network's input.
        classes: The `K` class names.

    Raises:
        OptionError: The network does not process the batch, or does not return finite logits
            `(N, K)`.
    """
    name, batch = type(network).__name__, planes(images, input_spec)
    # Evaluation mode first: lazy layers get their shapes here, before the state is copied.
    logits = _outputs(network.eval(), batch, "evaluation", classes)
    state = network.state_dict()
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise OptionError(
                f"the state of the network {name} has a {type(value).__name__} at '{key}'; "
                "expected tensors only, because weights are saved without pickle"
            )
    before = {key: tensor.detach().clone() for key, tensor in state.items()}
    _outputs(network.train(), batch, "training", classes)
    network.load_state_dict(before)
    if bool((logits >= 0).all()) and bool(((logits.sum(1) - 1).abs() <= TOLERANCE).all()):
        raise OptionError(
            f"the network {name} returns probabilities (they sum to 1 for every image); "
            "expected logits: remove the softmax at its end"
        )


def _outputs(network: nn.Module, batch: Tensor, mode: str, classes: Sequence[str]) -> Tensor:
    name, expected = type(network).__name__, (len(batch), len(classes))
    try:
        with torch.no_grad():
            outputs: object = network(batch)
    except Exception as error:  # the network's own code runs here
        raise OptionError(
            f"the network {name} cannot process a batch (N, C, H, W) of shape "
            f"{tuple(batch.shape)}, float32, in {mode} mode: {_short(error)}; change the network "
            "or the [input] of the recipe"
        ) from error
    shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    if not isinstance(outputs, Tensor) or shape != expected:
        listed = ", ".join(classes[:10]) + (", …" if len(classes) > 10 else "")
        raise OptionError(
            f"the network {name} returns {shape} for a batch of {len(batch)} images in {mode} "
            f"mode; expected logits {expected}, one per class: {listed}; change its last layer"
        )
    if not bool(outputs.isfinite().all()):
        raise OptionError(
            f"the network {name} returns values that are not finite in {mode} mode; check its "
            "weights and the scale of the recipe's [input]"
        )
    return outputs


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
