"""coremltools' own `MLModel.predict`, with this runtime instead of Core ML."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import coremltools
import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import types as coremltools_types
from coremltools.models import MLModel
from coremltools.models import utils as coremltools_utils
from PIL import Image

from pocketlens.coreml import coremltools_plugin
from sampling import sampled


@pytest.fixture
def plugin() -> Iterator[None]:
    with coremltools_plugin.installed():
        yield


def converted(program: Any, **options: Any) -> MLModel:
    target = coremltools.target.iOS18
    return coremltools.convert(program, minimum_deployment_target=target, **options)


def mil_program(*specs: Any, **options: Any) -> Callable[..., Any]:
    decorator: Callable[..., Any] = mb.program(input_specs=list(specs), **options)
    return decorator


@pytest.fixture
def doubling() -> Any:
    @mil_program(mb.TensorSpec(shape=(2, 3)))
    def program(x: Any) -> Any:
        return mb.mul(x=x, y=2.0, name="y")

    return program


def test_predict_and_batches(plugin: None, doubling: Any) -> None:
    model = converted(doubling, compute_precision=coremltools.precision.FLOAT32)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(model.predict({"x": x})["y"], 2 * x)
    batch = model.predict([{"x": x}, {"x": -x}])
    assert [each["y"].tolist() for each in batch] == [(2 * x).tolist(), (-2 * x).tolist()]
    assert model.load_duration_in_nano_seconds > 0
    assert model.last_predict_duration_in_nano_seconds > 0


def test_labels_probabilities_and_images(plugin: None, files: Any) -> None:
    softmax = files.network_spec("softmax", [np.zeros((1, 3, 1, 1), np.float32)], {}, [(3,)])
    spec = coremltools.proto.Model_pb2.Model()
    spec.specificationVersion = 5
    network = spec.neuralNetworkClassifier
    network.arrayInputShapeMapping = network.imageInputShapeMapping = 1
    network.layers.extend(softmax.neuralNetwork.layers)
    network.stringClassLabels.vector.extend(["one", "two", "three"])
    image = spec.description.input.add(name="x0").type.imageType
    image.height = image.width = 1
    image.colorSpace = 20
    spec.description.predictedFeatureName = "label"
    spec.description.predictedProbabilitiesName = "p"
    spec.description.output.add(name="label").type.stringType.SetInParent()
    spec.description.output.add(name="p").type.dictionaryType.stringKeyType.SetInParent()
    model = MLModel(spec)
    answer = model.predict({"x0": Image.new("RGB", (1, 1), (1, 3, 2))})
    assert answer["label"] == "two"
    expected = np.exp([1, 3, 2]) / np.exp([1, 3, 2]).sum()
    assert list(answer["p"]) == ["one", "two", "three"]
    assert list(answer["p"].values()) == pytest.approx(expected)


@pytest.mark.parametrize(("color", "channels", "mode"), [(10, 1, "L"), (20, 3, "RGBA")])
def test_image_outputs(color: int, channels: int, mode: str, plugin: None, files: Any) -> None:
    """Color images are RGBA, as coremltools' own tests expect."""
    shape = (channels, 2, 5)
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    spec = files.network_spec("activation", [values], {"linear": {"alpha": 1.0}}, [shape])
    image = spec.description.output[0].type.imageType
    image.width, image.height, image.colorSpace = 5, 2, color
    answer = MLModel(spec).predict({"x0": values})[spec.description.output[0].name]
    assert answer.mode == mode
    planes = np.asarray(answer).reshape(2, 5, -1).transpose(2, 0, 1)
    assert np.array_equal(planes[:channels], values)
    assert (planes[channels:] == 255).all()


def test_states(plugin: None) -> None:
    half = coremltools.converters.mil.mil.types.fp16

    @mil_program(
        mb.TensorSpec((2,), dtype=half),
        mb.StateTensorSpec((2,), dtype=half),
        opset_version=coremltools.target.iOS18,
    )
    def summing(x: Any, total: Any) -> Any:
        y = mb.add(x=mb.read_state(input=total), y=x, name="y")
        mb.coreml_update_state(state=total, value=y)
        return y

    model = converted(summing)
    first, second = model.make_state(), model.make_state()
    for expected in ([1, 2], [2, 4], [3, 6]):
        assert model.predict({"x": np.array([1, 2], np.float32)}, first)["y"].tolist() == expected
    assert second.read_state("total").tolist() == [0, 0]
    second.write_state("total", np.array([10, 20], np.float16))
    assert model.predict({"x": np.array([1, 2], np.float32)}, state=second)["y"].tolist() == [
        11,
        22,
    ]
    assert first.read_state("total").tolist() == [3, 6]
    with pytest.raises(RuntimeError, match="keeps no state 'sum'; expected one of: total"):
        first.read_state("sum")
    with pytest.raises(RuntimeError, match="expected a state made by its make_state"):
        model.predict({"x": np.array([1, 2], np.float32)})


def test_coremltools_sees_macos_15(plugin: None) -> None:
    assert coremltools_utils._is_macos() is True
    assert coremltools_utils._macos_version() == (15, 0)
    assert coremltools.models.model._is_macos() is True
    assert coremltools._deps._IS_MACOS is True
    (device,) = MLModel.get_available_compute_devices()
    assert type(device).__name__ == "MLCPUComputeDevice"


def test_unsupported_model_says_why(plugin: None, files: Any) -> None:
    spec = files.network_spec("custom", [np.zeros((1, 3), np.float32)], {"className": "X"}, [(1,)])
    with pytest.warns(RuntimeWarning, match="custom"):
        model = MLModel(spec)
    spec = files.network_spec("softmaxND", [np.zeros((2, 3), np.float32)], {"axis": 1}, [(2, 3)])
    spec.neuralNetwork.layers[0].input[0] = "missing"
    with pytest.warns(
        RuntimeWarning, match="'missing', which is neither an input nor the output of an"
    ):
        model = MLModel(spec)
    with pytest.raises(
        RuntimeError, match="'missing', which is neither an input nor the output of an"
    ):
        model.predict({"x0": np.zeros((2, 3))})


def test_fractions_are_truncated_for_integer_inputs(plugin: None) -> None:
    @mil_program(mb.TensorSpec(shape=(4,), dtype=coremltools_types.int32))
    def program(x: Any) -> Any:
        return mb.add(x=x, y=np.int32(1), name="y")

    model = converted(program)
    x = np.array([-1.7, -0.2, 0.9, 3.0])
    assert model.predict({"x": x})["y"].tolist() == [0, 1, 1, 4]
    with pytest.raises(RuntimeError, match="values that int32 cannot hold"):
        model.predict({"x": x * np.inf})


def test_wrong_input_raises_with_our_message(plugin: None, doubling: Any) -> None:
    model = converted(doubling)
    with pytest.raises(RuntimeError, match="the input 'x' has the shape 2 × 3; received: 3 × 2"):
        model.predict({"x": np.zeros((3, 2))})


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda m: m.get_compiled_model_path(), "a compiled model"),
        (lambda m: coremltools_utils.compile_model(m.get_spec()), "a compiled model"),
    ],
)
def test_features_of_apples_core_ml(plugin: None, files: Any, call: Any, what: str) -> None:
    spec = files.network_spec("softmaxND", [np.zeros((2, 3), np.float32)], {"axis": 1}, [(2, 3)])
    model = MLModel(spec)
    with pytest.raises(RuntimeError, match=f"{what}.* is made by Apple's Core ML only"):
        call(model)


def test_uninstall_restores_coremltools(doubling: Any) -> None:
    before = coremltools_utils._macos_version(), coremltools.models.model._MLModelProxy
    with coremltools_plugin.installed():
        with coremltools_plugin.installed():
            assert coremltools_utils._macos_version() == (15, 0)
        assert coremltools_utils._macos_version() == (15, 0), "the outer block is still active"
        coremltools_plugin.install()
    assert (coremltools_utils._macos_version(), coremltools.models.model._MLModelProxy) == before
    assert not hasattr(coremltools, "libcoremlpython") or sys.platform == "darwin"
    coremltools_plugin.uninstall()  # a second time changes nothing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = converted(doubling)
    if sys.platform != "darwin":
        with pytest.raises(Exception, match="only supported on macOS"):
            model.predict({"x": np.zeros((2, 3))})


SCRIPT = """
import numpy as np
{first}
import coremltools
from coremltools.models import MLModel
assert coremltools.utils._macos_version() == (15, 0)
model = MLModel({path!r})
print(model.predict({{"x0": np.array([[0.0, 0.0]])}})["y0"].tolist())
"""


@pytest.mark.parametrize("order", sampled(["before", "after"], 1))
def test_install_before_or_after_coremltools(order: str, files: Any, save: Any) -> None:
    spec = files.network_spec("softmaxND", [np.zeros((1, 2), np.float32)], {"axis": 1}, [(1, 2)])
    path = str(save(spec))
    install = "from pocketlens.coreml import coremltools_plugin; coremltools_plugin.install()"
    first = install if order == "before" else f"import coremltools; {install}"
    command = [sys.executable, "-c", SCRIPT.format(first=first, path=path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-2] == "[[0.5, 0.5]]"
    assert "Failed to load _ML" not in done.stderr or order == "after"
