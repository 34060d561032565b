"""Pipelines of every kind of model: features are passed by name from stage to stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketlens.coreml import CoreMLModel, inspect, load
from pocketlens.coreml.file.proto import generated
from pocketlens.errors import (
    FeatureError,
    ModelFileError,
    OptionError,
    UnsupportedModelError,
    UnsupportedOp,
)

Open = Callable[[Any], CoreMLModel]


def scaler(spec_of: Callable[..., Any], source: str, output: str, scale: float) -> Any:
    spec = spec_of("scaler", {source: (2,)}, {output: (2,)})
    spec.scaler.scaleValue.append(scale)
    return spec


def regressor(spec_of: Callable[..., Any], source: str) -> Any:
    spec = spec_of("glmRegressor", {source: (2,)}, {"y": "double"}, "y")
    spec.glmRegressor.weights.add().value.extend([1.0, 10.0])
    spec.glmRegressor.offset.append(0.5)
    return spec


def pipeline(
    spec_of: Callable[..., Any], inputs: Any, outputs: Any, *stages: Any, kind: str = "pipeline"
) -> Any:
    label = "y" if kind != "pipeline" else ""
    spec = spec_of(kind, inputs, outputs, label)
    message = getattr(spec, kind)
    inner = message if kind == "pipeline" else message.pipeline
    for stage in stages:
        inner.models.add().CopyFrom(stage)
    return spec


def test_several_stages(spec_of: Callable[..., Any], open_spec: Open) -> None:
    """A later stage may use the pipeline's inputs, too; a stage may replace a feature."""
    stages = [
        scaler(spec_of, "x", "scaled", 2.0),
        scaler(spec_of, "scaled", "scaled", 3.0),
        regressor(spec_of, "scaled"),
    ]
    spec = pipeline(spec_of, {"x": (2,)}, {"y": "double"}, *stages, kind="pipelineRegressor")
    model = open_spec(spec)
    assert model.run({"x": [1, 2]}) == {"y": 6 + 120 + 0.5}
    features = model.run({"x": [1, 2]}, intermediate=True)
    assert set(features) == {"scaled", "y"}
    np.testing.assert_array_equal(features["scaled"], [6, 12])
    assert model.kind == "pipeline (regressor)"
    assert model.inspect()["ops"] == {"scaler": 2, "glmRegressor": 1}
    assert model.inspect()["weights"] == {"float64": 5}


def test_pipelines_in_pipelines(spec_of: Callable[..., Any], open_spec: Open) -> None:
    inner = scaler(spec_of, "x", "x", 2.0)
    for _ in range(7):
        inner = pipeline(spec_of, {"x": (2,)}, {"x": (2,)}, inner, inner)
        del inner.pipeline.models[1]
    np.testing.assert_array_equal(open_spec(inner).run({"x": [1, 2]})["x"], [2, 4])
    for _ in range(2):
        inner = pipeline(spec_of, {"x": (2,)}, {"x": (2,)}, inner)
    with pytest.raises(ModelFileError, match="pipelines are nested more than 8 deep"):
        open_spec(inner)


def test_categories_into_trees(spec_of: Callable[..., Any], open_spec: Open) -> None:
    """A string and a number are encoded, collected to one array, and classified."""
    encoder = spec_of("oneHotEncoder", {"color": "string"}, {"hot": "dictionary int64"})
    encoder.oneHotEncoder.stringCategories.vector.extend(["red", "green"])
    encoder.oneHotEncoder.outputSparse = True
    encoder.oneHotEncoder.handleUnknown = 1
    gather = spec_of("featureVectorizer", {"hot": "dictionary int64", "n": "double?"}, {"v": (3,)})
    gather.featureVectorizer.inputList.add(inputColumn="hot", inputDimensions=2)
    gather.featureVectorizer.inputList.add(inputColumn="n", inputDimensions=1)
    outputs = {"y": "string", "p": "dictionary string"}
    trees = spec_of("treeEnsembleClassifier", {"v": (3,)}, outputs, "y", "p")
    message = trees.treeEnsembleClassifier
    message.stringClassLabels.vector.extend(["no", "yes"])
    message.treeEnsemble.numPredictionDimensions = 1
    message.treeEnsemble.basePredictionValue.append(0.25)
    root = message.treeEnsemble.nodes.add(nodeId=0, branchFeatureIndex=1, branchFeatureValue=0.5)
    root.nodeBehavior, root.trueChildNodeId, root.falseChildNodeId = 3, 1, 2
    inner = message.treeEnsemble.nodes.add(nodeId=2, branchFeatureIndex=2, branchFeatureValue=7)
    inner.nodeBehavior, inner.trueChildNodeId, inner.falseChildNodeId = 0, 3, 4
    inner.missingValueTracksTrueChild = True
    for number, value in ((1, 0.5), (3, 0.125), (4, -0.125)):
        leaf = message.treeEnsemble.nodes.add(nodeId=number, nodeBehavior=6)
        leaf.evaluationInfo.add(evaluationValue=value)
    spec = pipeline(
        spec_of,
        {"color": "string", "n": "double?"},
        outputs,
        encoder,
        gather,
        trees,
        kind="pipelineClassifier",
    )
    spec.description.predictedProbabilitiesName = "p"
    model = open_spec(spec)
    rows: list[tuple[dict[str, Any], str, float]] = [
        ({"color": "green", "n": 9}, "yes", 0.75),
        ({"color": "red", "n": 7}, "no", 0.375),
        ({"color": "blue", "n": 8}, "no", 0.125),
        ({"color": "blue"}, "no", 0.375),
    ]
    for inputs, label, second in rows:
        assert model.run(inputs) == {"y": label, "p": {"no": 1 - second, "yes": second}}
    assert model.classes == ("no", "yes")
    assert model.inspect()["classes"] == ["no", "yes"]


def test_network_then_program_then_classic(
    files: Any, spec_of: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    """Graphs can be stages; their weights are in the package's weights file."""
    x = np.zeros((1, 2), np.float32)
    network = files.network_spec(
        "activation", [x], {"linear": {"alpha": 3.0, "beta": 1.0}}, [(1, 2)]
    )
    program = files.program_spec("add", {"x": x}, {"y": x + 1}, [("float32", (1, 2))])
    program.description.input[0].name = program.description.output[0].name = "features"
    function = program.mlProgram.functions["main"]
    block = function.block_specializations[function.opset]
    function.inputs[0].name = block.operations[-1].inputs["x"].arguments[0].name = "features_in"
    program.description.input[0].name = "features_in"
    block.operations[-1].outputs[0].name = block.outputs[0] = "features"
    data, (offset,) = files.blob_file(("float32", np.array([[10, 20]], np.float32)))
    constant = block.operations[0].attributes["val"]
    constant.ClearField("immediateValue")
    constant.blobFileValue.fileName = "@model_path/weights/weight.bin"
    constant.blobFileValue.offset = offset
    network.description.output[0].name = "features_in"
    network.neuralNetwork.layers[0].output[0] = "features_in"
    last = regressor(spec_of, "features")
    del last.description.input[0].type.multiArrayType.shape[:]
    last.description.input[0].type.multiArrayType.shape.extend([1, 2])
    spec = pipeline(spec_of, {"x0": ("float32", 1, 2)}, {"y": "double"}, network, program, last)
    spec.specificationVersion = 8
    path = files.write_package(tmp_path / "p.mlpackage", spec, data)
    model = load(path)
    assert model.run({"x0": [[1, 2]]}) == {"y": (3 + 1 + 10) + 10 * (6 + 1 + 20) + 0.5}
    assert inspect(path)["ops"] == {"activation": 1, "add": 1, "glmRegressor": 1}


def test_a_network_that_declares_no_shape(
    files: Any, spec_of: Callable[..., Any], open_spec: Open
) -> None:
    """The network returns [1, 1, 2, 1, 1]; the next stage gets the shape that it declares."""
    fields = {"linear": {"alpha": 3.0, "beta": 1.0}}
    network = files.network_spec("activation", [np.zeros(2, np.float32)], fields, [(2,)])
    network.specificationVersion = 3
    network.neuralNetwork.ClearField("arrayInputShapeMapping")
    del network.description.output[0].type.multiArrayType.shape[:]
    outputs = {"y": "double", "y0": ("float32", 2)}
    stages = [network, regressor(spec_of, "y0")]
    model = open_spec(pipeline(spec_of, {"x0": ("float32", 2)}, outputs, *stages))
    results = model.run({"x0": [1, 2]})
    assert results["y"] == (3 + 1) + 10 * (6 + 1) + 0.5
    np.testing.assert_array_equal(results["y0"], np.array([4, 7], np.float32), strict=True)


@pytest.mark.parametrize("kind", ["pipelineClassifier", "pipeline"])
def test_image_classifier(
    kind: str, spec_of: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    """A network computes features of an image for a linear classifier; predict() works.

    The description of a plain pipeline, as coremltools' `make_pipeline` writes it, does not say
    which outputs are the label and the probabilities.
    """
    network = generated("Model_pb2").Model()
    network.specificationVersion = 5
    image = network.description.input.add(name="image").type.imageType
    image.height, image.width, image.colorSpace = 3, 5, 30
    output = network.description.output.add(name="means").type.multiArrayType
    output.dataType = 65600
    output.shape.extend([1, 3, 1, 1])
    net = network.neuralNetwork
    net.arrayInputShapeMapping = net.imageInputShapeMapping = 1
    net.preprocessing.add(featureName="image").scaler.channelScale = 1 / 255
    pool = net.layers.add(name="means", input=["image"], output=["means"]).pooling
    pool.type, pool.globalPooling = 1, True
    outputs = {"y": "string", "p": "dictionary string"}
    last = spec_of("glmClassifier", {"means": (1, 3, 1, 1)}, outputs, "y", "p")
    for blue, green, red in ((1.0, 0, 0), (0, 0, 1.0)):
        last.glmClassifier.weights.add().value.extend([blue, green, red])
        last.glmClassifier.offset.append(0.0)
    last.glmClassifier.stringClassLabels.vector.extend(["dark", "blue", "red"])
    spec = pipeline(spec_of, {}, outputs, network, last, kind=kind)
    spec.description.input.add().CopyFrom(network.description.input[0])
    if kind == "pipelineClassifier":
        spec.description.predictedProbabilitiesName = "p"
    spec.specificationVersion = 5
    model = load(save(spec))
    picture = np.zeros((3, 5, 3), np.uint8)
    picture[..., 0], picture[..., 2] = 255, 51
    expected = np.exp([0, 0.2, 1]) / np.exp([0, 0.2, 1]).sum()
    Image.fromarray(picture).save(tmp_path / "red.png")
    for image_value in (picture, Image.fromarray(picture), tmp_path / "red.png"):
        scores = model.run({"image": image_value})["p"]
        np.testing.assert_allclose(list(scores.values()), expected, rtol=1e-6)
    np.testing.assert_allclose(model.probabilities(picture[None])[0], expected, rtol=1e-6)
    prediction = model.predict(picture)
    assert (prediction.label, model.input_spec.color) == ("red", "bgr")
    with pytest.raises(FeatureError, match="height × width 3 × 5; received: 2 × 5"):
        model.run({"image": picture[:2]})


def test_pipeline_built_by_coremltools(open_spec: Open) -> None:
    """Two linear regressors."""
    from coremltools.models import MLModel, datatypes
    from coremltools.models.pipeline import PipelineRegressor

    def linear(source: str, output: str, weight: float) -> Any:
        spec = generated("Model_pb2").Model()
        spec.specificationVersion = 1
        spec.description.input.add(name=source).type.doubleType.SetInParent()
        spec.description.output.add(name=output).type.doubleType.SetInParent()
        spec.description.predictedFeatureName = output
        spec.glmRegressor.weights.add().value.append(weight)
        spec.glmRegressor.offset.append(1.0)
        return MLModel(spec, skip_model_load=True)

    joined = PipelineRegressor(["x"], [("y", datatypes.Double())])
    joined.spec.description.input[0].type.doubleType.SetInParent()
    joined.add_model(linear("x", "m", 2.0))
    joined.add_model(linear("m", "y", 5.0))
    assert open_spec(joined.spec).run({"x": 3}) == {"y": 36.0}


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ("none", "it contains no models; expected at least one"),
        ("many", "it contains 257 models; expected at most 256"),
        ("names", "it has 1 names for 2 models"),
        ("same", "two of its models have the same name"),
        ("empty", "› model1 contains no model"),
        (
            "unknown",
            "› model1 needs 'gone', which is neither an input nor an output of an earlier model; "
            "available at this point: x, scaled",
        ),
        ("kind", "› model1 needs 'scaled' as double; at this point it is array"),
        ("output", "the description declares 'z', which is neither an input nor an output of an"),
        ("output kind", "the description declares 'y' as string; at this point it is double"),
        ("stage", "› second: the model (glmRegressor): it has 2 rows of weights and 1 offsets"),
    ],
)
def test_invalid_files(
    damage: str, error: str, spec_of: Callable[..., Any], open_spec: Open
) -> None:
    outputs = {"output": {"z": "double"}, "output kind": {"y": "string"}}.get(
        damage, {"y": "double"}
    )
    stages = [scaler(spec_of, "x", "scaled", 2.0), regressor(spec_of, "scaled")]
    spec = pipeline(spec_of, {"x": (2,)}, outputs, *stages)
    models = spec.pipeline.models
    match damage:
        case "none":
            del models[:]
        case "many":
            models.extend([stages[0]] * 255)
        case "names":
            spec.pipeline.names.append("one")
        case "same":
            spec.pipeline.names.extend(["one", "one"])
        case "empty":
            models[1].ClearField("glmRegressor")
        case "unknown":
            models[1].description.input[0].name = "gone"
        case "kind":
            models[1].description.input[0].type.doubleType.SetInParent()
            del models[1].glmRegressor.weights[0].value[1]
        case "stage":
            spec.pipeline.names.extend(["first", "second"])
            models[1].glmRegressor.weights.add()
    with pytest.raises(ModelFileError) as caught:
        open_spec(spec)
    assert error in str(caught.value)


def test_unsupported_stages(
    files: Any, spec_of: Callable[..., Any], open_spec: Open, save: Callable[..., Path]
) -> None:
    private = spec_of("visionFeaturePrint", {"x": (2,)}, {"scaled": (2,)})
    spec = pipeline(spec_of, {"x": (2,)}, {"y": "double"}, private, regressor(spec_of, "scaled"))
    with pytest.raises(UnsupportedModelError, match="› model0 cannot run here: it is a Vision f"):
        open_spec(spec)
    assert inspect(save(spec))["ops"] == {"visionFeaturePrint": 1, "glmRegressor": 1}
    x = np.zeros((1, 2), np.float32)
    nonsense = files.program_spec("nonsense", {"x": x}, {}, [("float32", (1, 2))])
    spec = pipeline(spec_of, {"x": ("float32", 1, 2)}, {"y0": ("float32", 1, 2)}, nonsense)
    with pytest.raises(UnsupportedOp, match="› model0 .CoreML6. needs 1 op that cannot run here"):
        open_spec(spec)


def test_unsupported_by_classic_models(
    spec_of: Callable[..., Any], open_spec: Open, save: Callable[..., Path], tmp_path: Path
) -> None:
    model = open_spec(scaler(spec_of, "x", "y", 2.0))
    with pytest.raises(UnsupportedModelError, match=r"\(scaler\) runs here without ONNX; only"):
        model.to_onnx(tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModelError, match="keeps no state between predictions"):
        model.make_state()
    with pytest.raises(FeatureError, match="keeps no state; expected state=None"):
        model.run({"x": [1, 2]}, state=object())
    with pytest.raises(FeatureError, match=r"takes x \(array\), not one image"):
        model.predict(np.zeros((2, 2), np.uint8))
    with pytest.raises(OptionError, match="has no function 'other'"):
        load(save(scaler(spec_of, "x", "y", 2.0)), function="other")


def test_make_pipeline_of_coremltools(tmp_path: Path) -> None:
    """An ML Program and a neural network, each with weights, joined and saved by coremltools."""
    import coremltools as ct
    from coremltools.converters.mil.mil import Builder as mb

    random = np.random.default_rng(0)
    first, second = (random.normal(size=(16, 16)).astype(np.float32) for _ in range(2))

    def program() -> Callable[..., Any]:
        decorator: Callable[..., Any] = mb.program(input_specs=[mb.TensorSpec((1, 16))])
        return decorator

    @program()
    def one(x: Any) -> Any:
        return mb.relu(x=mb.matmul(x=x, y=first), name="hidden")

    @program()
    def two(hidden: Any) -> Any:
        return mb.matmul(x=hidden, y=second, name="out")

    parts = [
        ct.convert(one, compute_precision=ct.precision.FLOAT32, convert_to="mlprogram"),
        ct.convert(two, compute_precision=ct.precision.FLOAT32, convert_to="mlprogram"),
        ct.convert(two, convert_to="neuralnetwork"),
    ]
    x = random.normal(size=(1, 16)).astype(np.float32)
    expected = np.maximum(x @ first, 0) @ second
    for last in parts[1:]:
        path = tmp_path / f"{last.get_spec().WhichOneof('Type')}.mlpackage"
        ct.utils.make_pipeline(parts[0], last).save(str(path))
        np.testing.assert_allclose(load(path).run({"x": x})["out"], expected, rtol=1e-5, atol=1e-5)
