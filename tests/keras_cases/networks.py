"""The networks of `keras.applications` with weights whose outputs differ from image to image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pocketlens.compat import keras_layers_of
from pocketlens.conversion.probes import probe_images
from pocketlens.image import InputSpec

__all__ = ["NETWORKS", "network", "scenes", "side_of"]

NETWORKS: tuple[str, ...] = (
    *(f"ConvNeXt{size}" for size in ("Base", "Large", "Small", "Tiny", "XLarge")),
    *(f"DenseNet{layers}" for layers in (121, 169, 201)),
    *(f"EfficientNetB{number}" for number in range(8)),
    *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "L", "M", "S")),
    "InceptionResNetV2",
    "InceptionV3",
    *("MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small"),
    *("NASNetLarge", "NASNetMobile"),
    *(f"ResNet{layers}{version}" for layers in (50, 101, 152) for version in ("", "V2")),
    *("VGG16", "VGG19", "Xception"),
)

_SMALLEST = {
    **dict.fromkeys(("InceptionResNetV2", "InceptionV3"), 75),
    **dict.fromkeys(("NASNetLarge", "NASNetMobile", "Xception"), 71),
}


def side_of(name: str) -> int:
    """The height and width of a small image that the network takes."""
    return _SMALLEST.get(name, 32)


def scenes(side: int, count: int, seed: int) -> NDArray[np.uint8]:
    """Images `(count, side, side, 3)` of soft blots in different colors, with noise."""
    random = np.random.default_rng(seed)
    blots = torch.from_numpy(random.uniform(0, 255, (count, 3, 4, 4)))
    soft = torch.nn.functional.interpolate(blots, (side, side), mode="bicubic").numpy()
    noisy = soft + random.normal(0, 20, soft.shape)
    images: NDArray[np.uint8] = noisy.clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    return images


def network(keras: Any, name: str) -> Any:
    """A network for three classes.

    Its random weights are scaled layer by layer so that the outputs of each have a variance of 1
    over images; with random weights alone, a deep network says the same of every image. The images
    are of all kinds with which `convert` compares: a network that has never seen a flat one
    amplifies it, and each rounding error in it, layer by layer.
    """
    side = side_of(name)
    keras.utils.set_random_seed(0)
    made = getattr(keras.applications, name)(weights=None, classes=3, input_shape=(side, side, 3))
    probes, _ = probe_images(InputSpec(side, side, "rgb"))
    images = torch.from_numpy(np.concatenate([scenes(side, 12, 1), probes]).astype(np.float32))
    with ExitStack() as stack, torch.no_grad():
        for layer in keras_layers_of(made):
            kind = type(layer).__name__
            if kind == "BatchNormalization":
                stack.enter_context(_before(layer, _statistics))
            elif any(len(each.shape) > 1 for each in layer.weights):
                change = _last if layer is made.layers[-1] else _unit_variance
                stack.enter_context(_before(layer, change))
            elif kind == "LayerScale":  # it begins at 1e-6
                layer.weights[0].assign(np.full(layer.weights[0].shape, 0.5))
        made(images, training=False)
    return made


@contextmanager
def _before(layer: Any, change: Callable[[Any, Callable[..., Any], Any], None]) -> Iterator[None]:
    """Within: the layer is changed with each of its inputs, before it computes."""
    original = layer.call

    def call(x: Any, *args: Any, **options: Any) -> Any:
        change(layer, original, x)
        return original(x, *args, **options)

    object.__setattr__(layer, "call", call)
    try:
        yield
    finally:
        object.__delattr__(layer, "call")


def _statistics(layer: Any, _: Callable[..., Any], x: Any) -> None:
    axes = [axis for axis in range(x.ndim) if axis != layer.axis % x.ndim]
    # Not all of the mean: with batch norm, a deep network of random weights amplifies rounding.
    mean = 0.7 * x.mean(axes)
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(((x - mean) ** 2).mean(axes).clamp(min=1e-3))


def _unit_variance(layer: Any, call: Callable[..., Any], x: Any) -> None:
    kernel = [each for each in layer.weights if len(each.shape) > 1][-1]
    kernel.assign(kernel / float(call(x).std().clamp(min=1e-6)))


def _last(layer: Any, _: Callable[..., Any], x: Any) -> None:
    logits = x @ layer.kernel.value
    layer.kernel.assign(layer.kernel / float((logits - logits.mean(0)).std().clamp(min=1e-6)))
    layer.bias.assign(-(x @ layer.kernel.value).mean(0))
