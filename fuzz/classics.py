"""Small classic models for samples.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from google.protobuf import text_format

from pocketlens.coreml.file.proto import generated

__all__ = ["CLASSICS"]


def trees() -> Any:
    from coremltools.models import datatypes
    from coremltools.models.tree_ensemble import TreeEnsembleClassifier

    b = TreeEnsembleClassifier([("x", datatypes.Array(2))], ["a", "b"], ["label", "p"])
    b.set_default_prediction_value([0.5])
    b.set_post_evaluation_transform("Regression_Logistic")
    b.add_branch_node(0, 0, 1, 0.5, "BranchOnValueLessThanEqual", 1, 2)
    b.add_leaf_node(0, 1, [-1.0])
    b.add_branch_node(0, 2, 0, 1.5, "BranchOnValueGreaterThan", 3, 4)
    b.add_leaf_node(0, 3, [2.0])
    b.add_leaf_node(0, 4, [0.25])
    return b.spec


def neighbors() -> Any:
    from coremltools.models.nearest_neighbors import KNearestNeighborsClassifierBuilder

    b = KNearestNeighborsClassifierBuilder(
        input_name="x", output_name="label", number_of_dimensions=2,
        default_class_label="a", k=2, index_type="kd_tree",
    )  # fmt: skip
    b.add_samples(np.arange(10.0).reshape(5, 2) % 7, ["a", "b", "a", "b", "b"])
    return b.spec


def pipeline() -> Any:
    """A feature vectorizer of two numbers, then trees."""
    from coremltools.models import datatypes
    from coremltools.models.feature_vectorizer import create_feature_vectorizer
    from coremltools.models.pipeline import PipelineClassifier

    first, _ = create_feature_vectorizer(
        [("u", datatypes.Double()), ("v", datatypes.Double())], "x"
    )
    b = PipelineClassifier(
        [("u", datatypes.Double()), ("v", datatypes.Double())], ["a", "b"], ["label", "p"]
    )
    b.add_model(first)
    b.add_model(trees())
    return b.spec


# Models that coremltools has no builder for: (inputs and outputs, the message) as protobuf text.
ARRAY = "type {{ multiArrayType {{ shape: {} dataType: DOUBLE }} }}"
TWO = f'input {{ name: "x" {ARRAY.format(2)} }}'
ONE = 'output { name: "y" type { doubleType { } } }'
LABEL = (
    'output { name: "y" type { stringType { } } } predictedFeatureName: "y" '
    'output { name: "p" type { dictionaryType { stringKeyType { } } } } '
    'predictedProbabilitiesName: "p"'
)
NAMES = 'stringClassLabels { vector: "a" vector: "b" }'
VECTORS = "{ vectors { nodes { index: 1 value: 2 } } vectors { nodes { index: 2 value: 1 } } }"
CLASSIC = {
    "support_vectors": (
        f"{TWO} {LABEL}",
        f"""supportVectorClassifier {{ kernel {{ rbfKernel {{ gamma: 0.5 }} }}
            sparseSupportVectors {VECTORS} numberOfSupportVectorsPerClass: [1, 1]
            coefficients {{ alpha: [1, -1] }} rho: 0.1 probA: -1 probB: 0.5 {NAMES} }}""",
    ),
    "support_regression": (
        f"{TWO} {ONE}",
        f"""supportVectorRegressor {{ kernel {{ polyKernel {{ degree: 2 c: 1 gamma: 0.5 }} }}
            sparseSupportVectors {VECTORS} coefficients {{ alpha: [1, -1] }} rho: 1 }}""",
    ),
    "linear": (
        f"{TWO} {LABEL}",
        f"glmClassifier {{ weights {{ value: [1, 2] }} offset: 0.5 {NAMES} }}",
    ),
    "probit": (
        'input { name: "x" type { multiArrayType { shape: 1 dataType: INT32 } } }' + ONE,
        """bayesianProbitRegressor { numberOfFeatures: 1 bias { mean: 1 precision: 2 }
           regressionInputFeatureName: "x"
           features { weights { featureValue: 0 featureWeight { mean: 1 precision: 3 } } } }""",
    ),
    "recommender": (
        """input { name: "x" type { dictionaryType { int64KeyType { } } } }
           output { name: "y" type { sequenceType { int64Type { } sizeRange { upperBound: -1 } } } }
           output { name: "p" type { dictionaryType { int64KeyType { } } } }""",
        """itemSimilarityRecommender { itemInputFeatureName: "x"
           itemItemSimilarities { itemId: 1 similarItemList { itemId: 0 similarityScore: 2 } }
           recommendedItemListOutputFeatureName: "y"
           recommendedItemScoreOutputFeatureName: "p" }""",
    ),
    "suppression": (
        f"""input {{ name: "x" {ARRAY.format("[2, 2]")} }}
            input {{ name: "z" {ARRAY.format("[2, 4]")} }}
            output {{ name: "y" {ARRAY.format("[2, 2]")} }}
            output {{ name: "p" {ARRAY.format("[2, 4]")} }}""",
        """nonMaximumSuppression { confidenceInputFeatureName: "x" coordinatesInputFeatureName: "z"
           confidenceOutputFeatureName: "y" coordinatesOutputFeatureName: "p"
           pickTop { perClass: true } iouThreshold: 0.5 confidenceThreshold: 0.2 }""",
    ),
    "one_hot": (
        'input { name: "x" type { int64Type { } } } '
        f'output {{ name: "y" {ARRAY.format(3)} }}',
        "oneHotEncoder { int64Categories { vector: [0, 1, 7] } }",
    ),
    "scaled": (
        f'{TWO} output {{ name: "y" {ARRAY.format(2)} }}',
        f"""pipeline {{ names: "a" names: "b"
            models {{ specificationVersion: 1
                description {{ {TWO} output {{ name: "m" {ARRAY.format(2)} }} }}
                imputer {{ imputedDoubleArray {{ vector: [1, 2] }} replaceDoubleValue: 0 }} }}
            models {{ specificationVersion: 1
                description {{ input {{ name: "m" {ARRAY.format(2)} }}
                               output {{ name: "y" {ARRAY.format(2)} }} }}
                scaler {{ shiftValue: 1 scaleValue: [2, 3] }} }} }}""",
    ),
}  # fmt: skip


def _classic(name: str) -> Callable[[], Any]:
    def make() -> Any:
        description, message = CLASSIC[name]
        text = f"specificationVersion: 4 description {{ {description} }} {message}"
        return text_format.Parse(text, generated("Model_pb2").Model())

    return make


CLASSICS: dict[str, Callable[[], Any]] = {
    each.__name__: each for each in (trees, neighbors, pipeline)
} | {name: _classic(name) for name in CLASSIC}
"""Name -> a function that returns a specification."""
