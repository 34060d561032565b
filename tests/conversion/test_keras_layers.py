"""Keras layers that do nothing at inference, that scale pixels, or that are not known."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.conversion import assumed_input, convert, from_keras, load_keras, own_scaling
from pocketlens.coreml import load
from pocketlens.errors import CheckFailedError, ConversionError
from pocketlens.image import InputSpec

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SPEC = InputSpec(16, 16, "rgb", (1.0,))
OPTIONS: dict[str, Any] = {"labels": ["a", "b"], "input_spec": SPEC}


@pytest.fixture(scope="module")
def keras() -> Any:
    return from_keras._import_keras()


def model_of(keras: Any, *layers: Any, shape: tuple[int, ...] = (16, 16, 3)) -> Any:
    keras.utils.set_random_seed(3)
    end = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation="softmax")]
    return keras.Sequential([keras.Input(shape), *layers, *end])


AUGMENTATIONS: dict[str, Any] = {  # all of them: test_keras_table.py
    "RandomHue": lambda k: k.RandomHue(0.2),
    "RandomGrayscale": lambda k: k.RandomGrayscale(0.5),
    "RandAugment": lambda k: k.RandAugment(),
}


def converts(model: Any, folder: Path) -> None:
    path = convert(model, folder / "m", precision="float32", **OPTIONS)
    images = np.random.default_rng(3).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    want = model.predict(images.astype(np.float32), verbose=0)
    np.testing.assert_allclose(load(path).probabilities(images), want, atol=1e-4)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentation_does_not_stop_conversion(name: str, keras: Any, tmp_path: Path) -> None:
    converts(model_of(keras, AUGMENTATIONS[name](keras.layers)), tmp_path)


def test_augmentation_inside_other_layers(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    inner = keras.Sequential([layers.RandomFlip(), layers.RandomHue(0.2)])
    pipeline = layers.Pipeline([layers.RandomBrightness(0.2), layers.Rescaling(1 / 255)])

    class Wrapper(layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner = layers.RandomSaturation(0.2)

        def call(self, x: Any, training: bool = False) -> Any:
            return self.inner(x, training=training)

    converts(model_of(keras, inner, pipeline, Wrapper()), tmp_path)


def test_a_layer_that_cannot_be_exported_is_named(keras: Any, tmp_path: Path) -> None:
    class Branch(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x if float(x.sum()) > 0 else -x

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    model = model_of(keras, keras.Sequential([Branch(name="mine")]))
    with pytest.raises(ConversionError, match=r"export the network in the layer 'mine' \(Branch\)"):
        convert(model, tmp_path / "m", **OPTIONS)


def test_a_layer_that_converts_wrongly_is_named(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from pocketlens.conversion.lowerings import LOWERINGS

    monkeypatch.delitem(LOWERINGS, torch.ops.aten.rms_norm.default)
    norm = keras.layers.RMSNormalization(epsilon=100.0, name="norm")
    model = model_of(keras, keras.layers.Conv2D(4, 3), norm)
    with pytest.raises(CheckFailedError, match=r"in the layer 'norm' \(RMSNormalization\)"):
        convert(model, tmp_path / "m", **OPTIONS)


# --- scaling


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        (lambda k: [k.layers.Rescaling(1 / 255)], "Rescaling"),
        (lambda k: [k.layers.Rescaling(1 / 127.5, -1.0)], "Rescaling"),
        (lambda k: [k.layers.RandomFlip(), k.layers.Rescaling(1 / 255)], "Rescaling"),
        (lambda k: [keras_nested(k)], "Rescaling"),
        (lambda k: [k.layers.Normalization(mean=[120.0] * 3, variance=[9.0] * 3)], "Normalization"),
        (lambda k: [k.layers.Normalization(mean=[0.5] * 3, variance=[0.1] * 3)], None),
        (lambda k: [batch_norm(k, 120.0)], "BatchNormalization"),
        (lambda k: [batch_norm(k, 0.5)], None),
        (lambda k: [k.layers.Lambda(lambda x: x / 127.5 - 1)], "Lambda"),
        (lambda k: [k.layers.Lambda(lambda x: 1 - x)], None),
        (lambda k: [k.layers.Rescaling(2.0, -1.0)], None),  # expects numbers from 0 to 1
        (lambda k: [k.layers.Conv2D(3, 3), k.layers.Rescaling(1 / 255)], None),
        (lambda k: [], None),
    ],
)
def test_a_model_that_scales_pixels_itself(layers: Any, found: str | None, keras: Any) -> None:
    model = model_of(keras, *layers(keras), keras.layers.Conv2D(4, 3))
    own = own_scaling(model)
    assert (own and re.sub(r".*\((.*)\)", r"\1", own.layer)) == found
    spec = assumed_input(model, 16, 16, 3)
    assert spec.scale[0] == (1.0 if found else 1 / 255)
    assert spec.assumed == (
        ("color", "crop", "ink") if found else ("color", "scale", "bias", "crop", "ink")
    )


def batch_norm(keras: Any, mean: float) -> Any:
    layer = keras.layers.BatchNormalization()
    layer.build((None, 16, 16, 3))
    layer.moving_mean.assign([mean] * 3)
    return layer


def keras_nested(keras: Any) -> Any:
    return keras.Sequential([keras.layers.RandomFlip(), keras.layers.Rescaling(1 / 255)])


def test_a_division_inside_a_functional_model_is_found(keras: Any) -> None:
    image = keras.Input((16, 16, 1))
    flat = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(image / 255.0))
    own = own_scaling(keras.Model(image, keras.layers.Dense(2)(flat)))
    assert own is not None and "(TrueDivide)" in own.layer


def test_what_is_said_is_known(keras: Any) -> None:
    model = model_of(keras, keras.layers.Rescaling(1 / 255), shape=(16, 16, 1))
    spec = assumed_input(model, 16, 16, 1, scale=0.5, ink="dark")
    assert (spec.scale, spec.ink, spec.color) == ((0.5,), "dark", "gray")
    assert spec.assumed == ("bias", "crop")
    assert assumed_input(model, 16, 16, 1).ink == "light"  # as in MNIST


def test_scaling_twice_is_a_warning(keras: Any, tmp_path: Path) -> None:
    model = model_of(keras, keras.layers.Rescaling(1 / 255, name="own"), keras.layers.Conv2D(4, 3))
    spec = InputSpec(16, 16, "rgb")  # scale 1/255
    with pytest.warns(UserWarning, match=r"itself, in the layer 'own' \(Rescaling\), .* twice"):
        convert(model, tmp_path / "m", labels=["a", "b"], input_spec=spec)


# --- what Keras does not know


@pytest.fixture
def saved(keras: Any, tmp_path: Path) -> dict[str, Path]:
    """Files with objects that are registered only while they are saved."""
    layers = keras.layers
    register = keras.saving.register_keras_serializable

    @register("mine")
    class Twice(layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            return x * 2

    def odd_one(x: Any) -> Any:
        return x * 2

    register("mine")(odd_one)

    @register("mine")
    class AllOnes(keras.initializers.Initializer):  # type: ignore[misc]
        def __call__(self, shape: Any, dtype: Any = None, **_: Any) -> Any:
            return keras.ops.ones(shape, dtype)

        def get_config(self) -> dict[str, Any]:
            return {}

    models = {
        "layer": [Twice()],
        "wrapped": [layers.TimeDistributed(Twice())],
        "pipeline": [layers.Pipeline([Twice()])],
        "nested": [keras.Sequential([keras.Input((16, 16, 3)), Twice()])],
        "function": [layers.Conv2D(2, 3, activation=odd_one)],
        "initializer": [layers.Conv2D(2, 3, kernel_initializer=AllOnes())],
        "plain": [layers.Conv2D(2, 3, activation="relu")],
    }
    files = {}
    for name, own in models.items():
        files[name] = tmp_path / f"{name}.keras"
        model_of(keras, *own).save(files[name])
    keras.saving.get_custom_objects().clear()
    return files


def edited(file: Path, old: bytes, new: bytes) -> Path:
    changed = file.with_name("edited.keras")
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, content.replace(old, new) if name == "config.json" else content)
    return changed


def test_what_keras_does_not_know_is_named(saved: dict[str, Path]) -> None:
    unknown = {
        "layer": "'Twice'", "wrapped": "'Twice'", "pipeline": "'Twice'", "nested": "'Twice'",
        "function": "odd_one", "initializer": "AllOnes",
    }  # fmt: skip
    for name, text in unknown.items():
        with pytest.raises(ConversionError, match=f"Keras cannot load .*{text}.*of your own, load"):
            load_keras(saved[name])
    for old, new, text in [
        (b'"relu"', b'"frobnicate"', "activation function identifier: frobnicate"),
        (b'"GlorotUniform"', b'"Frob"', "Frob"),
        (b'"Conv2D"', b'"Con\\u001b[31m\\u202evolve"', "Con\\x1b[31m"),
    ]:
        file = edited(saved["plain"], old, new)
        with pytest.raises(ConversionError, match=re.escape(text)) as caught:
            load_keras(file)
        assert str(caught.value).isprintable()
