"""Models of Keras 2, of TensorFlow.js and of Teachable Machine, read without running them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from command_line import error_of, output_of
from keras2 import config_of, weights_of, write_h5, write_tfjs
from keras_cases import ROWS
from keras_cases import model as row_model
from pocketlens.conversion import from_keras
from pocketlens.conversion.keras_legacy import load_legacy
from pocketlens.coreml import load
from pocketlens.errors import ConversionError
from sampling import sampled

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

LABELS = ("cat", "dog with 2 ears", "0 zero")


@pytest.fixture(scope="module")
def keras() -> Any:
    return from_keras._import_keras()


def varied(model: Any) -> Any:
    """The model with weights that are all different."""
    random = np.random.default_rng(0)
    for each in model.weights:
        values = random.normal(size=each.shape) * 0.3
        each.assign(np.abs(values) + 0.5 if "variance" in each.name else values)
    return model


def teachable(keras: Any, size: int = 224, channels: int = 3) -> Any:
    """The layers and names of Teachable Machine's model: a MobileNet without its middle."""
    layers = keras.layers
    image = keras.Input((size, size, channels), name="input_1")
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="Conv1_pad")(image)
    x = layers.Conv2D(8, 3, strides=4, use_bias=False, name="Conv1")(x)
    x = layers.BatchNormalization(epsilon=1e-3, name="bn_Conv1")(x)
    first = layers.ReLU(max_value=6, name="Conv1_relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="expanded_depthwise")(first)
    x = layers.BatchNormalization(epsilon=1e-3, name="expanded_depthwise_BN")(x)
    x = layers.Conv2D(8, 1, use_bias=False, name="expanded_project")(x)
    x = layers.Add(name="block_2_add")([first, x])
    inner = keras.Model(image, layers.ReLU(max_value=6, name="out_relu")(x), name="model1")
    features = keras.Sequential(
        [inner, layers.GlobalAveragePooling2D(name="global_average_pooling2d_1")],
        name="sequential_1",
    )
    head = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(10, activation="relu", name="dense_Dense1"),
            layers.Dense(3, activation="softmax", use_bias=False, name="dense_Dense2"),
        ],
        name="sequential_3",
    )
    outer = keras.Sequential([features, head], name="sequential_4")
    outer.build((None, size, size, channels))
    return varied(outer)


def export(keras: Any, folder: Path, kind: str) -> tuple[Path, Any]:
    """An export of Teachable Machine, and the model in it."""
    model = teachable(keras)
    folder.mkdir(exist_ok=True)
    if kind.startswith("keras"):
        write_h5(folder / "keras_model.h5", model)
        lines = "".join(f"{number} {name}\n" for number, name in enumerate(LABELS))
        (folder / "labels.txt").write_text(lines)
    else:
        write_tfjs(
            folder,
            model,
            {"packageName": "@teachablemachine/image", "labels": LABELS, "imageSize": 224},
            shard=4096 if "shards" in kind else 1 << 30,
        )
    if kind.endswith("zip"):
        with zipfile.ZipFile(folder / "converted_keras.zip", "w") as archive:
            for each in list(folder.glob("*[!p]")):
                archive.write(each, f"inside/{each.name}")
                each.unlink()
        return folder / "converted_keras.zip", model
    file = {"keras": "keras_model.h5", "tfjs": "model.json"}.get(kind)
    return (folder / file if file else folder), model


@pytest.mark.parametrize("kind", ["keras", "keras zip", "tfjs", "tfjs shards folder"])
def test_exports_of_teachable_machine_need_no_options(
    kind: str, keras: Any, tmp_path: Path
) -> None:
    path, model = export(keras, tmp_path / "export", kind)
    text = output_of("convert", path, "-o", tmp_path / "M", "--precision", "float32")
    assert "assumed" not in text
    made = load(tmp_path / "M.mlpackage")
    assert made.classes == LABELS
    spec = made.input_spec
    assert (spec.shape, spec.color, spec.crop, spec.assumed) == (
        (224, 224, 3), "rgb", "center-crop", (),
    )  # fmt: skip
    images = np.random.default_rng(1).integers(0, 256, (3, 224, 224, 3), np.uint8)
    want = model.predict(images / np.float32(127.5) - 1, verbose=0)
    np.testing.assert_allclose(made.probabilities(images), want, atol=2e-5)


def test_labels_of_a_teachable_machine_without_numbers(tmp_path: Path) -> None:
    from pocketlens.conversion.keras_legacy.teachable import labels_beside

    model = tmp_path / "keras_model.h5"
    for text, names in (
        ("0 a\n1 b\n", ("a", "b")),
        ("a\nb\n", ("a", "b")),
        ("1 a\n2 b\n", ("1 a", "2 b")),
        ("\ufeff0  x y \r\n1 z\r\n", ("x y", "z")),
    ):
        (tmp_path / "labels.txt").write_text(text, encoding="utf-8")
        assert labels_beside(model) == names
    assert labels_beside(tmp_path / "other.h5") is None


def functional(keras: Any) -> Any:
    """Shared layers, several inputs and outputs, names with slashes."""
    layers = keras.layers
    a, b = keras.Input((6, 4), name="a"), keras.Input((6, 4), name="b")
    shared = layers.Dense(5, activation="tanh", name="shared__dense")
    merged = layers.Concatenate(name="both")([shared(a), shared(b)])
    x = layers.Bidirectional(layers.LSTM(3, name="lstm"), name="bidirectional")(merged)
    x = layers.LeakyReLU(negative_slope=0.2, name="leaky")(x)
    y = layers.Conv1D(2, 3, padding="causal", name="conv")(merged)
    pooled = layers.GlobalMaxPooling1D(name="pool")(y)
    return varied(keras.Model([a, b], [layers.Dense(2, name="first")(x), pooled], name="net"))


def test_functional_models_become_arrays(keras: Any, tmp_path: Path) -> None:
    model = functional(keras)
    path = write_h5(tmp_path / "m.h5", model)
    random = np.random.default_rng(2)
    given = [random.normal(size=(4, 6, 4)).astype(np.float32) for _ in range(2)]
    want = model.predict(given, verbose=0)
    for got, right in zip(load_legacy(path).predict(given, verbose=0), want, strict=True):
        np.testing.assert_allclose(got, right, atol=1e-6)
    output_of("convert", path, "-o", tmp_path / "M", "--precision", "float32")
    made = load(tmp_path / "M.mlpackage")
    assert [each.name for each in made.interface.inputs] == ["a", "b"]
    for row in range(4):
        found = made.run({"a": given[0][row : row + 1], "b": given[1][row : row + 1]})
        for value, right in zip(found.values(), want, strict=True):
            np.testing.assert_allclose(value[0], right[row], atol=1e-5)


def sequential(keras: Any, *layers: Any, shape: tuple[int, ...] = (6, 4)) -> Any:
    return varied(keras.Sequential([keras.Input(shape), *layers]))


def changed(config: dict[str, Any], at: int, kind: str = "", **fields: Any) -> dict[str, Any]:
    """The configuration of a Sequential model with other fields in one layer."""
    layer = config["config"]["layers"][at]
    layer["class_name"] = kind or layer["class_name"]
    for key, value in fields.items():
        if value is Ellipsis:
            layer["config"].pop(key, None)
        else:
            layer["config"][key] = value
    return config


def run(model: Any, x: Any) -> Any:
    return model.predict(x, verbose=0)


def test_what_has_another_meaning_in_keras_2(keras: Any, tmp_path: Path) -> None:
    """hard_sigmoid, reset_after and ThresholdedReLU, against their formulas of Keras 2."""
    x = np.random.default_rng(3).normal(size=(5, 6, 4)).astype(np.float32) * 3
    layers = keras.layers
    model = sequential(keras, layers.Activation("sigmoid"))
    config = changed(config_of(model), 0, activation="hard_sigmoid")
    got = run(load_legacy(write_h5(tmp_path / "a.h5", model, config)), x)
    np.testing.assert_allclose(got, np.clip(0.2 * x + 0.5, 0, 1), atol=1e-6)

    model = sequential(keras, layers.ReLU())
    config = changed(
        config_of(model), 0, "ThresholdedReLU", theta=1.5, threshold=..., max_value=...,
        negative_slope=...,
    )  # fmt: skip
    got = run(load_legacy(write_h5(tmp_path / "b.h5", model, config)), x)
    np.testing.assert_allclose(got, np.where(x > 1.5, x, 0), atol=1e-6)

    model = sequential(keras, layers.GRU(3, reset_after=False))
    config = changed(config_of(model), 0, reset_after=...)
    got = run(load_legacy(write_h5(tmp_path / "c.h5", model, config)), x)
    np.testing.assert_allclose(got, run(model, x), atol=1e-6)


def test_the_order_of_weights_is_that_of_their_names(keras: Any, tmp_path: Path) -> None:
    """Keras 2 lists the trainable weights of a model inside first; and names tell them apart."""
    layers = keras.layers
    inner = keras.Sequential(
        [keras.Input((4,)), layers.BatchNormalization(name="n1"), layers.Dense(4, name="d1"),
         layers.BatchNormalization(name="n2")], name="inner",
    )  # fmt: skip
    model = sequential(keras, inner, shape=(4,))
    assert [name for name, _ in weights_of(inner)][4:6] == ["n2/gamma", "n2/beta"]
    x = np.random.default_rng(4).normal(size=(3, 4)).astype(np.float32)
    path = write_h5(tmp_path / "m.h5", model)
    np.testing.assert_allclose(run(load_legacy(path), x), run(model, x), atol=1e-6)


ELSEWHERE = {
    **dict.fromkeys(("LSTM(sequences, hard sigmoid)", "Activation(hard_sigmoid)"), "see above"),
    **dict.fromkeys(("Lambda", "TorchModuleWrapper"), "refused"),
    "RandomShear": "Keras 3 alone has it",
    "Equalization": "calls functions of Keras 3 between the layers",
}
"""Rows that mean something else in Keras 2, or cannot be in such a file."""


def legacy_rows() -> list[str]:
    called = ("Attention(causal", "MultiHead", "Masking(", "GroupQuery")  # with other arguments
    return [name for name in ROWS if name not in ELSEWHERE and not name.startswith(called)]


@pytest.mark.parametrize("name", sampled(legacy_rows(), 2, seed=2))
def test_every_layer_is_the_same_in_an_h5_file(name: str, keras: Any, tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    model = row_model(keras, name)
    x = np.random.default_rng(7).uniform(-2, 2, (3, 12, 12, 3)).astype(np.float32)
    found = load_legacy(write_h5(tmp_path / "m.h5", model))
    np.testing.assert_allclose(run(found, x), run(model, x), atol=1e-5)


def test_calls_with_other_arguments(keras: Any, tmp_path: Path) -> None:
    """TFOpLambda with a constant and with a tensor; attention with a value."""
    x = keras.Input((4, 3), name="x")
    attended = keras.layers.MultiHeadAttention(2, 3, name="heads")(x, x)
    model = varied(keras.Model(x, attended, name="net"))
    config = config_of(model)
    layers = config["config"]["layers"]
    (layers[1]["inbound_nodes"],) = ([[["x", 0, 0, {"value": ["x", 0, 0]}]]],)
    for name, value in (("multiply", 2.0), ("subtract", ["x", 0, 0])):
        stored = {"name": f"tf.math.{name}", "function": f"math.{name}", "dtype": "float32"}
        before = config["config"]["output_layers"][0][0]
        node = [before, 0, 0, {"y": value, "name": None}]
        layers.append(
            {"class_name": "TFOpLambda", "config": stored, "name": stored["name"],
             "inbound_nodes": [node]}
        )  # fmt: skip
        config["config"]["output_layers"] = [[stored["name"], 0, 0]]
    given = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    found = load_legacy(write_h5(tmp_path / "m.h5", model, config))
    np.testing.assert_allclose(run(found, given), 2 * run(model, given) - given, atol=1e-5)
    layers[-1]["config"]["function"] = "signal.fft"
    with pytest.raises(ConversionError, match=r"'tf.math.subtract' .* calls TensorFlow's 'signal"):
        load_legacy(write_h5(tmp_path / "n.h5", model, config))


NETWORKS = (
    "MobileNet", "MobileNetV2", "DenseNet121", "EfficientNetB0", "ResNet50", "VGG16", "Xception",
    "InceptionV3", "NASNetMobile", "ResNet50V2",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_of_keras_applications(name: str, keras: Any, tmp_path: Path) -> None:
    model = getattr(keras.applications, name)(weights=None, classes=3, input_shape=(75, 75, 3))
    x = np.random.default_rng(0).random((2, 75, 75, 3), np.float32) * 255
    found = load_legacy(write_h5(tmp_path / "m.h5", model))
    np.testing.assert_allclose(run(found, x), run(model, x), atol=1e-5)


# --- files that cannot be used


def put(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config).encode()


def layer_with(at: int, kind: str = "", **fields: Any) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        changed(config, at, kind, **fields)

    return change


CODE = ["4wEAAAAAAAAAAAAAAA==", None, None]
REFUSED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "lambda": (
        layer_with(0, "Lambda", function=CODE, function_type="lambda"),
        r"the layer 'd' \(Lambda\) has Python code inside; rewrite it",
    ),
    "own layer": (layer_with(0, "Mine>Attention"), r"'d' \(Mine>Attention\) is not a layer of Ker"),
    "another file": (layer_with(0, "TFSMLayer", filepath="/x"), "reads another file"),
    "pickle": (layer_with(0, "TorchModuleWrapper", module="x"), "has a pickle inside"),
    "not a layer": (layer_with(0, "serialize"), "is not a layer of Keras"),
    "activation": (layer_with(0, activation="mine"), "the activation 'mine', which Keras does not"),
    "get": (layer_with(0, activation="get"), "the activation 'get'"),
    "field": (layer_with(0, sharpness=3), "has the field 'sharpness' with the value 3"),
    "size": (layer_with(0, units=10**9), r"returns \(None, 6, 1000000000\); expected at most"),
    "shape": (layer_with(0, units=5), r"'kernel' \(number 1\) has the shape \(4, 3\) in the file"),
    "no weights": (layer_with(0, name="other"), "'other' .* has no weight 'kernel' in the file"),
    "class": (lambda config: config.update(class_name="Mine"), "is of the class 'Mine', which is"),
    "nothing": (lambda config: config.update(config={}), "its configuration is not that of a mo"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_names_the_layer(name: str, keras: Any, tmp_path: Path) -> None:
    change, text = REFUSED[name]
    path = write_h5(tmp_path / "m.h5", sequential(keras, keras.layers.Dense(3, name="d")))
    put(path, change)
    with pytest.raises(ConversionError, match=text) as caught:
        load_legacy(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_damaged_files(keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_h5(tmp_path / "m.h5", sequential(keras, keras.layers.Dense(3, name="d")))
    content = path.read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[: len(content) // 2])
    assert "cannot be read as an .h5 file of Keras" in error_of("convert", tmp_path / "cut.h5")
    (tmp_path / "text.h5").write_text("no model")
    assert "cannot be read as an .h5 file of Keras" in error_of("convert", tmp_path / "text.h5")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"d"]
    assert "has weights but no model; save the whole" in error_of("convert", tmp_path / "w.h5")
    with h5py.File(path, "a") as file:
        file["model_weights/d/d"].attrs["x"] = 1
        del file["model_weights/d/d/kernel:0"]
        file["model_weights/d/d/kernel:0"] = h5py.ExternalLink("other.h5", "/x")
    assert "cannot be read" in error_of("convert", path)
    with h5py.File(path, "a") as file:
        del file["model_weights/d/d/kernel:0"]
        file["model_weights/d/d"].create_dataset("kernel:0", (2**30,), "f4", chunks=(2**20,))
    assert "has weights of more than" in error_of("convert", path)


def test_damaged_files_of_tensorflow_js(keras: Any, tmp_path: Path) -> None:
    model = sequential(keras, keras.layers.Dense(3, name="d"))
    path = write_tfjs(tmp_path, model)
    x = np.ones((2, 6, 4), np.float32)
    np.testing.assert_allclose(run(load_legacy(path), x), run(model, x), atol=1e-6)
    original = json.loads(path.read_text())
    for change, text in (
        ({"format": "graph-model"}, "is a graph model of TensorFlow.js, whose layers are lost"),
        ({"weightsManifest": []}, "has no weight 'kernel' in the file"),
        (
            {"weightsManifest": [{"paths": ["../weights.bin"], "weights": []}]},
            "are not beside it",
        ),
        (
            {
                "weightsManifest": [
                    {
                        "paths": ["weights0.bin"],
                        "weights": [{"name": "d/kernel", "shape": [2**40], "dtype": "float32"}],
                    }
                ]
            },
            "its weights have .* bytes; 'd/kernel' needs",
        ),
    ):
        names = [each.name for each in tmp_path.glob("weights*")]
        path.write_text(json.dumps(original | change).replace("weights0.bin", names[0]))
        with pytest.raises(ConversionError, match=text):
            load_legacy(path)


def test_quantized_weights_of_tensorflow_js(keras: Any, tmp_path: Path) -> None:
    model = sequential(keras, keras.layers.Dense(3, name="d"))
    path = write_tfjs(tmp_path, model)
    content = json.loads(path.read_text())
    kernel, bias = (values for _, values in weights_of(model))
    scale, low = float(np.ptp(kernel)) / 255, float(kernel.min())
    coded = np.rint((kernel - low) / scale).astype(np.uint8).tobytes()
    (tmp_path / "q.bin").write_bytes(coded + bias.astype(np.float16).tobytes())
    first, second = content["weightsManifest"][0]["weights"]
    first["quantization"] = {"dtype": "uint8", "scale": scale, "min": low}
    second["quantization"] = {"dtype": "float16"}
    content["weightsManifest"][0]["paths"] = ["q.bin"]
    path.write_text(json.dumps(content))
    x = np.ones((1, 6, 4), np.float32)
    np.testing.assert_allclose(run(load_legacy(path), x), run(model, x), atol=2e-2)


def test_archives_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"PK")
    assert "cannot be read as a zip archive" in error_of("convert", path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "a")
    assert "has neither keras_model.h5 nor model.json" in error_of("convert", path)
    monkeypatch.setattr("pocketlens.conversion.keras_legacy.teachable.MAX_WEIGHT_BYTES", 10_000)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../keras_model.h5", bytes(10_001))
    assert "when unpacked; expected at most 10.0 KB" in error_of("convert", path)
