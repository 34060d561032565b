"""Each public layer of Keras computes the same in the Core ML file, or `convert` refuses it.

The normal run takes a sample; the whole table is slow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_cases import NETWORKS, NO_ROWS, REFUSED, ROWS, layer_of, model
from keras_cases.networks import network, scenes, side_of
from pocketlens.conversion import KerasPredictor, convert, from_keras
from pocketlens.coreml import load
from pocketlens.errors import CheckFailedError, ConversionError
from pocketlens.image import InputSpec
from sampling import sampled

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning"),
]

SPEC = InputSpec(12, 12, "rgb", (4 / 255,), (-2.0,))
LABELS = ("a", "b", "c")


@pytest.fixture(scope="module")
def keras() -> Any:
    return from_keras._import_keras()


def test_every_public_layer_has_a_row_or_a_reason(keras: Any) -> None:
    layers: dict[Any, set[str]] = {}
    for name in dir(keras.layers):
        kind = getattr(keras.layers, name)
        if isinstance(kind, type) and issubclass(kind, keras.layers.Layer):
            layers.setdefault(kind, set()).add(name)  # AvgPool2D is AveragePooling2D
    covered = {layer_of(name) for name in ROWS} | set(NO_ROWS)
    assert [names for names in layers.values() if not names & covered] == []
    assert covered <= set().union(*layers.values())
    assert REFUSED.keys() <= ROWS.keys()


def check(keras: Any, name: str, kind: str, folder: Path) -> None:
    """The row converts and agrees; or it is known to be refused, and the message says where."""
    source = KerasPredictor(model(keras, name), LABELS, SPEC)
    options: dict[str, Any] = {"format": kind, "precision": "float32"}
    if name in REFUSED:
        with pytest.raises((ConversionError, CheckFailedError), match=r" op|in the layer"):
            convert(source, folder / "m", **options)
        assert not list(folder.iterdir())
        return
    path = convert(source, folder / "m", **options)
    # Not the images with which `convert` compares.
    images = np.random.default_rng(7).integers(0, 256, (3, *SPEC.shape), dtype=np.uint8)
    want = source.probabilities(images)
    np.testing.assert_allclose(load(path).probabilities(images), want, atol=1e-4)


@pytest.mark.parametrize("name", sampled(ROWS, 3))
def test_every_layer_agrees_or_is_refused(name: str, keras: Any, tmp_path: Path) -> None:
    check(keras, name, "mlpackage", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_keras_applications_agrees(name: str, keras: Any, tmp_path: Path) -> None:
    if name.startswith("NASNet"):
        with pytest.raises(ValueError, match="not available with the torch backend"):
            network(keras, name)
        return
    spec = InputSpec(side_of(name), side_of(name), "rgb", (1.0,))
    source = KerasPredictor(network(keras, name), LABELS, spec)
    path = convert(source, tmp_path / "m", precision="float32")
    images = scenes(spec.height, 4, 5)
    want = source.probabilities(images)
    np.testing.assert_allclose(load(path).probabilities(images), want, atol=1e-3)


def test_the_list_of_networks_is_complete(keras: Any) -> None:
    assert [name for name in dir(keras.applications) if name[0].isupper()] == sorted(NETWORKS)


@pytest.mark.parametrize("name", sampled(ROWS, 1, seed=1))
def test_the_same_as_a_neural_network(name: str, keras: Any, tmp_path: Path) -> None:
    check(keras, name, "mlmodel", tmp_path)
