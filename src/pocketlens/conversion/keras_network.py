"""A Keras 3 model as a PyTorch network, for `torch.export`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from pocketlens.compat import keras_layers_of
from pocketlens.conversion.places import KERAS_LAYER
from pocketlens.errors import printable

__all__ = ["KerasNetwork"]


class KerasNetwork(nn.Module):
    """A network from tensors to the outputs of a Keras model; it shares the weights.

    Args:
        keras: The package Keras.
        model: The model.
        arranged: From the tensors, such as planes `(N, C, H, W)`, to the model's input.
    """

    def __init__(self, keras: Any, model: Any, arranged: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model
        self._keras = keras
        self._arranged = arranged
        self._inert: set[int] | None = None

    def forward(self, *given: Tensor, **named: Tensor) -> Any:
        """The outputs of the model, as at inference."""
        # Keras creates constants on its default device, which may not be the CPU.
        with self._keras.device("cpu"), ExitStack() as stack:
            if torch.compiler.is_exporting():
                for layer in keras_layers_of(self.model):
                    stack.enter_context(_named(layer, inert=id(layer) in (self._inert or ())))
            return self.model(self._arranged(*given, **named), training=False)

    def find_inert_layers(self, *given: Tensor, **named: Tensor) -> None:
        """Note which layers with random numbers return their input: they are left out of an export.

        At inference these do nothing, but some draw random numbers nevertheless, or use ops that
        cannot be exported.

        Args:
            given: Inputs of the network, which the model processes once.
            named: The same by name.
        """
        inert: dict[int, bool] = {}
        layers = [layer for layer in keras_layers_of(self.model) if self._is_random(layer)]
        if not layers:
            return
        with ExitStack() as stack, torch.no_grad():
            for layer in layers:
                stack.enter_context(_compared(layer, inert))
            self(*given, **named)
        self._inert = {number for number, same in inert.items() if same}

    def _is_random(self, layer: Any) -> bool:
        seeds = self._keras.random.SeedGenerator
        base = self._keras.layers.RandomFlip.__mro__[1]  # of all layers for augmentation
        return isinstance(layer, base) or any(isinstance(v, seeds) for v in vars(layer).values())


@contextmanager
def _replaced_call(layer: Any, call: Callable[..., Any]) -> Iterator[None]:
    object.__setattr__(layer, "call", call)  # Keras's own __setattr__ would track it
    try:
        yield
    finally:
        object.__delattr__(layer, "call")


@contextmanager
def _compared(layer: Any, inert: dict[int, bool]) -> Iterator[None]:
    """Within: note whether each call of a layer returns its input."""
    original = layer.call

    def call(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        given = args[0] if args else None
        same = (
            isinstance(given, Tensor) and isinstance(result, Tensor) and torch.equal(given, result)
        )
        inert[id(layer)] = same and inert.get(id(layer), True)
        return result

    with _replaced_call(layer, call):
        yield


@contextmanager
def _named(layer: Any, *, inert: bool) -> Iterator[None]:
    """Within: the ops of a layer, and its exceptions, say which layer they are from."""
    original = layer.call
    name = printable(f"'{layer.name}' ({type(layer).__name__})")

    def call(*args: Any, **kwargs: Any) -> Any:
        if inert:
            return args[0]
        with fx.traceback.annotate({KERAS_LAYER: name}):
            try:
                return original(*args, **kwargs)
            except Exception as error:
                if not hasattr(error, "__notes__"):  # not yet noted by an inner layer
                    error.add_note(f"in the layer {name}")
                raise

    with _replaced_call(layer, call):
        yield
