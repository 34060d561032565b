"""The Core ML file predicts the same as Keras does with the Keras 3 model that it comes from."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketlens.conversion import KerasPredictor, convert, from_keras, image_shape, keras_size
from pocketlens.coreml import load
from pocketlens.data import Dataset, load_data
from pocketlens.errors import ConversionError, MissingExtraError, OptionError
from pocketlens.evaluation.parity import verify
from pocketlens.image import InputSpec

# A warning of Keras under NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DIGITS = list("0123456789")
Noise = Callable[[InputSpec], NDArray[np.uint8]]


@pytest.fixture(scope="session")
def keras() -> Any:
    return from_keras._import_keras()


@pytest.fixture(scope="session")
def digits() -> tuple[Dataset, Dataset]:
    """Training and test digits: MNIST if there is a data folder, else the built-in strokes."""
    source = "mnist" if "POCKETLENS_DATA" in os.environ else "strokes"
    train, test = (load_data(source, split=split) for split in ("train", "test"))
    return train.subset(slice(0, 2000)), test.subset(slice(0, 1000))


@pytest.fixture(scope="session")
def walk(
    keras: Any, digits: tuple[Dataset, Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The network of the 2018 walk, trained for two passes over 2000 digits, as a .keras file."""
    layers = keras.layers
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((28, 28, 1))])
    for kernel in (3, 2, 2):
        model.add(layers.Conv2D(32, kernel, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D())
    for layer in (
        layers.Dropout(0.3),
        layers.Flatten(),
        layers.Dense(500, activation="relu"),
        layers.Dropout(0.4),
        layers.Dense(10, activation="softmax"),
    ):
        model.add(layer)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    train = digits[0]
    model.fit(train.images / 255, train.labels, batch_size=50, epochs=2, verbose=0)
    path = tmp_path_factory.mktemp("keras") / "walk.keras"
    model.save(path)
    return path


@pytest.mark.parametrize("kind", ["mlpackage", "mlmodel"])
def test_the_walk_of_2018_converts(
    kind: str, walk: Path, keras: Any, digits: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(DIGITS) + "\n")
    spec = InputSpec(28, 28, "gray", (1 / 255,))
    path = convert(walk, tmp_path / "Walk", format=kind, labels=labels, input_spec=spec)

    test, model = digits[1], load(path)
    want = keras.saving.load_model(walk).predict(test.images / 255, verbose=0)
    assert (want.argmax(1) == test.labels).mean() > 0.6
    got = model.probabilities(test.images)
    assert (got.argmax(1) == want.argmax(1)).mean() >= 0.999
    assert np.abs(got - want).mean() <= 1e-3

    assert verify(KerasPredictor(walk, labels, spec), model, test.subset(slice(0, 300))).passed


def test_a_keras_predictor_predicts_the_same_as_keras(
    walk: Path, keras: Any, digits: tuple[Dataset, Dataset]
) -> None:
    predictor = KerasPredictor(walk, DIGITS, InputSpec(28, 28))
    assert (predictor.layout, predictor.head) == ("channels-last", "probabilities")
    assert predictor.classes == tuple(DIGITS)
    images = digits[1].images[:300]
    want = keras.saving.load_model(walk).predict(images / 255, verbose=0)
    np.testing.assert_allclose(predictor.probabilities(images), want, atol=1e-6)
    assert predictor.predict(images[0]).label == DIGITS[want[0].argmax()]
    assert predictor.probabilities(images[:0]).shape == (0, 10)


def test_a_keras_predictor_has_its_own_labels(walk: Path, keras: Any, tmp_path: Path) -> None:
    predictor = KerasPredictor(walk, DIGITS, InputSpec(28, 28))
    with pytest.raises(OptionError, match="a KerasPredictor has its own labels and InputSpec"):
        convert(predictor, tmp_path / "m", labels=DIGITS)


def _blocks(keras: Any) -> dict[str, tuple[tuple[int | None, ...], list[Any]]]:
    layers = keras.layers
    return {
        "own scaling, batch norm": (
            (12, 12, 3),
            [
                layers.Rescaling(1 / 127.5, offset=-1),
                layers.Conv2D(8, 3, strides=2, padding="same"),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.DepthwiseConv2D(3, padding="same", activation="swish"),
                layers.GlobalAveragePooling2D(),
            ],
        ),
        "open size": (
            (None, None, 3),
            [layers.SeparableConv2D(8, 3, activation="gelu"), layers.GlobalMaxPooling2D()],
        ),
        "augmentation and nested": (
            (12, 12, 3),
            [
                layers.RandomFlip(),
                layers.RandomRotation(0.1),
                keras.Sequential([layers.Conv2D(4, 3), layers.LeakyReLU()]),
                layers.AveragePooling2D(2),
                layers.Flatten(),
                layers.LayerNormalization(),
            ],
        ),
        "plane": ((12, 12), [layers.Flatten()]),
        "flat": ((144,), [layers.Dense(9, activation="tanh")]),
    }


@pytest.mark.parametrize(
    ("name", "color", "layout"),
    [
        ("own scaling, batch norm", "bgr", "channels-last"),
        ("open size", "rgb", "channels-last"),
        ("augmentation and nested", "rgb", "channels-last"),
        ("plane", "gray", "plane"),
        ("flat", "gray", "flat"),
    ],
)
def test_models_with_many_kinds_of_layers(
    name: str, color: Any, layout: str, keras: Any, noise: Noise, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(4)
    shape, layers = _blocks(keras)[name]
    # Larger weights than the default, so that images get different labels.
    wide = keras.initializers.RandomNormal(stddev=1.0)
    end = keras.layers.Dense(4, kernel_initializer=wide)
    model = keras.Sequential([keras.Input(shape), *layers, end])
    spec = InputSpec(12, 12, color, (1.0 if "scaling" in name else 1 / 255,))
    predictor = KerasPredictor(model, list("abcd"), spec)
    assert (predictor.layout, predictor.head) == (layout, "logits")

    images = noise(spec)
    inputs = spec.network_input(images).transpose(0, 2, 3, 1)
    outputs = model.predict(inputs.reshape(-1, *(12 if s is None else s for s in shape)), verbose=0)
    want = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
    np.testing.assert_allclose(predictor.probabilities(images), want, atol=1e-5)
    path = convert(predictor, tmp_path / "m")  # which has its own labels and InputSpec
    got = load(path).probabilities(images)
    np.testing.assert_allclose(got, want, atol=1e-2)
    assert np.abs(got - want).mean() < 1e-3


@pytest.mark.parametrize(
    ("end", "labels", "head"),
    [
        ([("Dense", 3, "softmax")], "abc", "probabilities"),
        ([("Dense", 3, None), ("Softmax",)], "abc", "probabilities"),
        ([("Dense", 3, None), ("Activation", "softmax"), ("Dropout", 0.1)], "abc", "probabilities"),
        ([("Dense", 3, None)], "abc", "logits"),
        ([("Dense", 1, "sigmoid")], "ny", "probability"),
        ([("Dense", 1, None), ("Activation", "sigmoid")], "ny", "probability"),
        ([("Dense", 1, None)], "ny", "logit"),
    ],
)
def test_the_head_of_a_model_is_detected(
    end: list[tuple[Any, ...]], labels: str, head: str, keras: Any
) -> None:
    keras.utils.set_random_seed(2)
    layers = [
        keras.layers.Dense(part[1], activation=part[2])
        if part[0] == "Dense"
        else getattr(keras.layers, part[0])(*part[1:])
        for part in end
    ]
    model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), *layers])
    predictor = KerasPredictor(model, list(labels), InputSpec(6, 6))
    assert predictor.head == head
    probabilities = predictor.probabilities(np.zeros((2, 6, 6, 1), np.uint8))
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)


def test_a_single_sigmoid_converts(keras: Any, noise: Noise, tmp_path: Path) -> None:
    keras.utils.set_random_seed(2)
    dense = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), dense])
    spec = InputSpec(8, 8, "gray", (1 / 32,), (-2.0,))
    path = convert(model, tmp_path / "m", labels=["no", "yes"], input_spec=spec)
    images = noise(spec)
    yes = model.predict(spec.network_input(images).transpose(0, 2, 3, 1), verbose=0)[:, 0]
    assert yes.min() < 0.5 < yes.max()
    np.testing.assert_allclose(load(path).probabilities(images)[:, 1], yes, atol=3e-3)


def test_the_image_shape_of_a_model(walk: Path, keras: Any) -> None:
    assert image_shape(walk) == (28, 28, 1)
    shapes = {
        (None, None, 3): (None, None, 3),
        (3, 8, 9): (8, 9, 3),
        (5, 6): (5, 6, 1),
        (30,): (None, None, 1),
    }
    for shape, wanted in shapes.items():
        model = keras.Sequential([keras.Input(shape), keras.layers.Identity()])
        assert image_shape(model) == wanted
    model = keras.Sequential([keras.Input((8, 8, 4)), keras.layers.Identity()])
    with pytest.raises(ConversionError, match=r"takes an input of shape \(8, 8, 4\); expected one"):
        image_shape(model)


# --- errors


def test_labels_and_input_specs_that_do_not_fit_are_rejected(walk: Path, keras: Any) -> None:
    with pytest.raises(
        ConversionError, match=r"returns 10 output\(s\), but there are 3 labels \(a, b"
    ):
        KerasPredictor(walk, ["a", "b", "c"], InputSpec(28, 28))
    with pytest.raises(
        ConversionError,
        match=r"takes images of shape \(28, 28, 1\); the InputSpec has \(32, 28, 3\)",
    ):
        KerasPredictor(walk, DIGITS, InputSpec(32, 28, "rgb"))


def test_models_that_are_not_classifiers_are_rejected(keras: Any) -> None:
    layers = keras.layers
    sigmoids = keras.Sequential(
        [keras.Input((6, 6, 1)), layers.Flatten(), layers.Dense(3, activation="sigmoid")]
    )
    with pytest.raises(ConversionError, match="a sigmoid for each of 3 classes, so several may"):
        KerasPredictor(sigmoids, list("abc"), InputSpec(6, 6))
    image = keras.Input((6, 6, 1))
    flat = layers.Flatten()(image)
    two = keras.Model(image, [layers.Dense(3)(flat), layers.Dense(3)(flat)])
    with pytest.raises(ConversionError, match="has 2 outputs; expected one"):
        KerasPredictor(two, list("abc"), InputSpec(6, 6))
    other = keras.Input((6, 6, 1))
    both = keras.Model([image, other], layers.Dense(3)(layers.Flatten()(image + other)))
    with pytest.raises(ConversionError, match="has 2 inputs; expected one"):
        KerasPredictor(both, list("abc"), InputSpec(6, 6))


def test_code_in_a_file_is_not_run(keras: Any, tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Lambda(lambda x: x + 1), keras.layers.Flatten()]
    )
    model.save(tmp_path / "lambda.keras")
    with pytest.raises(ConversionError, match=r"cannot load .*lambda\.keras: .*of your own, load"):
        convert(
            tmp_path / "lambda.keras", tmp_path / "m", labels=DIGITS, input_spec=InputSpec(6, 6)
        )
    assert not (tmp_path / "m.mlpackage").exists()


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("old.h5", b"", r"legacy Keras file, .*load_model\('old\.h5'\)\.save\('old\.keras'\)"),
        ("net.pt", b"", r"net\.pt does not end in \.keras; expected a file saved by Keras 3"),
        ("none.keras", None, r"none\.keras does not exist; expected a \.keras file"),
        ("text.keras", b"hello", r"text\.keras cannot be read as a \.keras file: .*not a zip"),
    ],
)
def test_files_that_are_not_keras_files_are_rejected(
    name: str, data: bytes | None, text: str, keras: Any, tmp_path: Path
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ConversionError, match=text):
        KerasPredictor(tmp_path / name, DIGITS, InputSpec(28, 28))


def test_a_truncated_or_damaged_file_is_rejected(walk: Path, keras: Any, tmp_path: Path) -> None:
    cut = tmp_path / "cut.keras"
    cut.write_bytes(walk.read_bytes()[:-200])
    with pytest.raises(ConversionError, match=r"cut\.keras cannot be read as a \.keras file"):
        image_shape(cut)
    foreign = io.BytesIO()
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("config.json", "{}")
    (tmp_path / "foreign.keras").write_bytes(foreign.getvalue())
    with pytest.raises(ConversionError, match=r"Keras cannot load .*foreign\.keras"):
        image_shape(tmp_path / "foreign.keras")


def test_a_file_that_is_too_large_when_unpacked_is_rejected(
    walk: Path, keras: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras_size, "MAX_KERAS_BYTES", 10_000)
    with pytest.raises(ConversionError, match=r"variables of \d+ bytes; expected at most 10000"):
        image_shape(walk)


def repacked(source: Path, target: Path, name: str, content: bytes) -> Path:
    """A copy of a `.keras` file in which one member has another content."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            new.writestr(member, content if member == name else old.read(member))
    return target


def weights_of_zeros(**options: Any) -> bytes:
    """An HDF5 file with a dataset of 4 GB."""
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.create_dataset("layers/dense/vars/0", (2**30,), "f4", **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("model.weights.h5", bytes(200_000_000), "200.* bytes when unpacked; expected at most"),
        ("model.weights.h5", weights_of_zeros(), "weights of 4294967296 bytes; expected at most"),
        (
            "model.weights.h5",
            weights_of_zeros(chunks=(2**20,), compression="gzip"),
            "weights of 4294967296 bytes; expected at most",
        ),
        ("model.weights.h5", b"no", "model.weights.h5 is not HDF5"),
    ],
)
def test_weights_that_unpack_to_more_than_the_model(
    name: str, content: bytes, text: str, walk: Path, keras: Any, tmp_path: Path
) -> None:
    path = repacked(walk, tmp_path / "bomb.keras", name, content)
    assert path.stat().st_size < 1_500_000
    before = peak_memory()
    with pytest.raises(ConversionError, match=text):
        image_shape(path)
    assert peak_memory() - before < 500_000_000


def test_a_layer_that_needs_too_much(walk: Path, keras: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(walk) as archive:
        config = archive.read("config.json").decode()
    assert '"units": 10' in config
    large = config.replace('"units": 10', '"units": 100000000').encode()
    path = repacked(walk, tmp_path / "bomb.keras", "config.json", large)
    before = peak_memory()
    with pytest.raises(
        ConversionError, match=r"variables of \d+ bytes; expected at most 2147483648"
    ):
        image_shape(path)
    assert peak_memory() - before < 500_000_000


def peak_memory() -> int:
    """The most memory that this process has taken so far, in bytes; 0 where that is not known."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    (line,) = [each for each in status.read_text().splitlines() if each.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def test_other_objects_are_rejected(keras: Any) -> None:
    with pytest.raises(OptionError, match="type dict is not a Keras 3 model; expected one, or"):
        KerasPredictor({}, DIGITS, InputSpec(28, 28))


def test_a_missing_keras_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    before = os.environ.get("KERAS_BACKEND")
    with pytest.raises(MissingExtraError, match=r"'keras'.* pip install '\.\[keras\]'"):
        (tmp_path / "m.keras").touch()
        convert(tmp_path / "m.keras", tmp_path / "m", labels=DIGITS, input_spec=InputSpec(6, 6))
    assert os.environ.get("KERAS_BACKEND") == before


def test_another_backend_of_keras_is_an_error(keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.config, "backend", lambda: "tensorflow")
    with pytest.raises(
        ConversionError,
        match="backend tensorflow in this process; .*with KERAS_BACKEND=torch",
    ):
        image_shape("m.keras")


def test_an_older_keras_is_an_error(keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras, "__version__", "2.15.0")
    with pytest.raises(
        ConversionError, match=r"Keras 2\.15\.0 is installed; expected Keras 3; .*pip install"
    ):
        image_shape("m.keras")
