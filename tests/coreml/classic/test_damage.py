"""Damaged files of every classic kind: they run or raise one of our errors, and no others."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from pocketlens.coreml import inspect, load
from pocketlens.coreml.file.features import Feature
from pocketlens.coreml.file.proto import generated, repeated
from pocketlens.coreml.ops.registry import ops
from pocketlens.errors import PocketlensError

LABELS = 'stringClassLabels { vector: "a" vector: "b" }'
STAGE = """models { specificationVersion: 1
    description { input { name: "x" type { multiArrayType { shape: 2 dataType: DOUBLE } } }
                  output { name: "m" type { multiArrayType { shape: 2 dataType: DOUBLE } } } }
    scaler { shiftValue: 1 scaleValue: [2, 3] } }"""
LEAF = "nodeBehavior: LeafNode evaluationInfo { evaluationValue: 1 }"
TREES = f"""treeEnsemble {{ numPredictionDimensions: 1 basePredictionValue: 0.5
    nodes {{ nodeId: 0 branchFeatureIndex: 1 branchFeatureValue: 2 trueChildNodeId: 1
             falseChildNodeId: 2 missingValueTracksTrueChild: true }}
    nodes {{ nodeId: 1 {LEAF} }} nodes {{ nodeId: 2 {LEAF} }} }}"""
VECTORS = "sparseSupportVectors { vectors { nodes { index: 1 value: 2 } } vectors { } }"

# kind: (inputs, outputs, the message); features as in `declare` of conftest.py.
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "arrayFeatureExtractor": ({"x": (2,)}, {"y": "double"}, "extractIndex: 1"),
    "bayesianProbitRegressor": (
        {"x": ("int32", 1)},
        {"y": "double"},
        """numberOfFeatures: 1 bias { mean: 1 precision: 2 } regressionInputFeatureName: "x"
           features { weights { featureValue: 0 featureWeight { mean: 1 precision: 3 } }
                      weights { featureValue: 1 featureWeight { mean: 2 precision: 1 } } }""",
    ),
    "categoricalMapping": (
        {"x": "int64"},
        {"y": "string"},
        'int64ToStringMap { map { key: 1 value: "a" } } strValue: "b"',
    ),
    "classConfidenceThresholding": ({"x": (2,)}, {"y": (2, 2)}, ""),
    "dictVectorizer": (
        {"x": "dictionary string"},
        {"y": (2,)},
        'stringToIndex { vector: "a" vector: "b" }',
    ),
    "featureVectorizer": (
        {"x": "double?", "z": (2,)},
        {"y": (3,)},
        'inputList { inputColumn: "z" inputDimensions: 2 } '
        'inputList { inputColumn: "x" inputDimensions: 1 }',
    ),
    "glmClassifier": (
        {"x": (2,)},
        {"y": "string", "p": "dictionary string"},
        f"weights {{ value: [1, 2] }} offset: 0.5 {LABELS}",
    ),
    "glmRegressor": ({"x": (2,)}, {"y": "double"}, "weights { value: [1, 2] } offset: 0.5"),
    "identity": ({"y": "sequence int64"}, {"y": "sequence int64"}, ""),
    "imputer": (
        {"x": (2,)},
        {"y": (2,)},
        "imputedDoubleArray { vector: [1, 2] } replaceDoubleValue: 0",
    ),
    "itemSimilarityRecommender": (
        {"x": "dictionary int64"},
        {"y": "sequence int64", "p": "dictionary int64"},
        """itemItemSimilarities { itemId: 1 similarItemList { itemId: 0 similarityScore: 2 } }
           itemInputFeatureName: "x" recommendedItemListOutputFeatureName: "y"
           recommendedItemScoreOutputFeatureName: "p" """,
    ),
    "kNearestNeighborsClassifier": (
        {"x": (2,)},
        {"y": "string", "p": "dictionary string"},
        f"""nearestNeighborsIndex {{ numberOfDimensions: 2 linearIndex {{ }}
            squaredEuclideanDistance {{ }} floatSamples {{ vector: [1, 2] }}
            floatSamples {{ vector: [3, 4] }} }}
            numberOfNeighbors {{ defaultValue: 1 set {{ values: 1 }} }}
            inverseDistanceWeighting {{ }} {LABELS}""",
    ),
    "nonMaximumSuppression": (
        {"x": (2, 1), "z": (2, 4)},
        {"y": (2, 1), "p": (2, 4)},
        """confidenceInputFeatureName: "x" coordinatesInputFeatureName: "z"
           confidenceOutputFeatureName: "y" coordinatesOutputFeatureName: "p"
           pickTop { perClass: true } iouThreshold: 0.5""",
    ),
    "normalizer": ({"x": (2,)}, {"y": (2,)}, "normType: L2"),
    "oneHotEncoder": ({"x": "int64"}, {"y": (2,)}, "int64Categories { vector: [0, 1] }"),
    "pipeline": ({"x": (2,)}, {"m": (2,)}, STAGE),
    "pipelineClassifier": (
        {"x": (2,)},
        {"y": "string"},
        f"""pipeline {{ {STAGE} models {{ specificationVersion: 1
            description {{ input {{ name: "m" type {{ multiArrayType {{ shape: 2 }} }} }}
                output {{ name: "y" type {{ stringType {{ }} }} }} predictedFeatureName: "y" }}
            glmClassifier {{ weights {{ value: [1, 2] }} offset: 0.5 {LABELS} }} }} }}""",
    ),
    "pipelineRegressor": ({"x": (2,)}, {"m": (2,)}, f'pipeline {{ {STAGE} names: "one" }}'),
    "scaler": ({"x": (2,)}, {"y": (2,)}, "shiftValue: 1 scaleValue: [2, 3]"),
    "supportVectorClassifier": (
        {"x": (2,)},
        {"y": "string", "p": "dictionary string"},
        f"""kernel {{ polyKernel {{ degree: 2 c: 1 gamma: 0.5 }} }} {VECTORS}
            numberOfSupportVectorsPerClass: [1, 1] coefficients {{ alpha: [1, -1] }}
            rho: 0.1 probA: -1 probB: 0.5 {LABELS}""",
    ),
    "supportVectorRegressor": (
        {"x": (2,)},
        {"y": "double"},
        f"kernel {{ rbfKernel {{ gamma: 0.5 }} }} {VECTORS} "
        "coefficients { alpha: [1, -1] } rho: 1",
    ),
    "treeEnsembleClassifier": (
        {"x": (2,)},
        {"y": "string", "p": "dictionary string"},
        f"{TREES} postEvaluationTransform: Regression_Logistic {LABELS}",
    ),
    "treeEnsembleRegressor": ({"x": (2,)}, {"y": "double"}, TREES),
}

WHOLE = [0, 1, 2, 3, -1, 7, 1000, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1]
FRACTIONS = [0.0, 1.0, -1.0, 1e308, -1e-308, math.inf, math.nan]


def test_every_supported_kind_is_tested() -> None:
    assert set(MODELS) == {row.op for row in ops("classic") if row.supported}


def intact_spec(kind: str, spec_of: Callable[..., Any]) -> Any:
    inputs, outputs, text = MODELS[kind]
    probabilities = "p" if outputs.get("p") == "dictionary string" else ""
    spec = spec_of(kind, inputs, outputs, "y" if "y" in outputs else "", probabilities)
    text_format.Parse(text, getattr(spec, kind))
    return spec


def example(feature: Feature) -> Any:
    match feature.kind:
        case "array":
            return np.ones(feature.shape)
        case "dictionary":
            return {0: 1.0} if feature.dtype == "int64" else {"a": 1.0}
        case "sequence":
            return [0, 1] if feature.dtype == "int64" else ["a", "b"]
        case "string":
            return "a"
        case "image":
            return np.zeros((*feature.shape, 3), np.uint8)
    return 1


def run(path: Path) -> None:
    model = load(path)
    small = [f for f in model.interface.inputs if math.prod(f.shape) < 10_000]
    results = model.run({feature.name: example(feature) for feature in small})
    assert set(results) == {feature.name for feature in model.interface.outputs}
    assert inspect(path)["kind"] == model.kind


@pytest.mark.parametrize("kind", MODELS)
def test_intact_files_run(
    kind: str, spec_of: Callable[..., Any], save: Callable[..., Path]
) -> None:
    run(save(intact_spec(kind, spec_of)))


@pytest.mark.parametrize("kind", MODELS)
def test_damaged_files(kind: str, spec_of: Callable[..., Any], save: Callable[..., Path]) -> None:
    chance = random.Random(kind)
    messages = []
    for _ in range(120):
        spec = generated("Model_pb2").Model()
        spec.CopyFrom(intact_spec(kind, spec_of))
        for _ in range(chance.choice([1, 1, 2, 4])):
            damage(spec, chance)
        try:
            run(save(spec))
        except PocketlensError as error:
            messages.append(str(error))
    assert len(messages) > 20
    assert all(message.isprintable() and len(message) < 2100 for message in messages)


def damage(message: Any, chance: random.Random) -> None:
    """Change, remove, duplicate or set one field at a random depth."""
    while True:
        fields = [(field, value) for field, value in message.ListFields() if not _is_map(field)]
        if not fields or chance.random() < 0.15:
            fields = [(f, getattr(message, f.name)) for f in message.DESCRIPTOR.fields]
            fields = [(field, value) for field, value in fields if not _is_map(field)]
        if not fields:
            return
        field, value = chance.choice(fields)
        if field.message_type is None:
            change(message, field, value, chance)
            return
        if chance.random() < 0.2:
            message.ClearField(field.name)
            return
        if repeated(field):
            if not value or chance.random() < 0.2:
                value.add().CopyFrom(value[0])
                return
            value = chance.choice(value)
        else:
            value.SetInParent()
        message = value


def change(message: Any, field: Any, value: Any, chance: random.Random) -> None:
    if repeated(field) and value and chance.random() < 0.4:
        del value[chance.randrange(len(value))]
        return
    new: Any
    match field.cpp_type:
        case field.CPPTYPE_STRING:
            new = chance.choice(["", "a", "x", "y", "m", "\n" * 3000, "ä"])
            new = new if field.type == field.TYPE_STRING else new.encode()
        case field.CPPTYPE_BOOL:
            new = chance.random() < 0.5
        case field.CPPTYPE_DOUBLE | field.CPPTYPE_FLOAT:
            new = chance.choice(FRACTIONS)
        case field.CPPTYPE_ENUM:
            new = chance.randrange(9)
        case _:
            new = chance.choice([n for n in WHOLE if _in_range(field, n)])
    if repeated(field):
        value.append(new)
    elif field.name != "specificationVersion":
        setattr(message, field.name, new)


def _is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _in_range(field: Any, number: int) -> bool:
    bits = 32 if field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_UINT32) else 64
    if field.cpp_type in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64):
        return number in range(2**bits)
    return number in range(-(2 ** (bits - 1)), 2 ** (bits - 1))
