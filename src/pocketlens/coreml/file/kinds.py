"""The kinds of Core ML models, and which of them run here.

Keys are the names of the field `Type` in the specification's Model.proto.
"""

from __future__ import annotations

from pocketlens.coreml.file.package import ModelFile
from pocketlens.errors import ModelFileError, UnsupportedModelError, with_article

__all__ = ["KINDS", "NETWORKS", "PIPELINES", "UNSUPPORTED", "check_kind", "kind_name"]

KINDS = {
    "mlProgram": "ML Program",
    "neuralNetwork": "neural network",
    "neuralNetworkClassifier": "neural network",
    "neuralNetworkRegressor": "neural network",
    "pipeline": "pipeline",
    "pipelineClassifier": "pipeline (classifier)",
    "pipelineRegressor": "pipeline (regressor)",
    "glmClassifier": "linear classifier",
    "glmRegressor": "linear regressor",
    "supportVectorClassifier": "support vector classifier",
    "supportVectorRegressor": "support vector regressor",
    "treeEnsembleClassifier": "tree ensemble (classifier)",
    "treeEnsembleRegressor": "tree ensemble (regressor)",
    "kNearestNeighborsClassifier": "nearest neighbors classifier",
    "bayesianProbitRegressor": "Bayesian probit regressor",
    "itemSimilarityRecommender": "item similarity recommender",
    "classConfidenceThresholding": "class confidence thresholding",
    "oneHotEncoder": "one-hot encoder",
    "imputer": "imputer",
    "featureVectorizer": "feature vectorizer",
    "dictVectorizer": "dictionary vectorizer",
    "scaler": "scaler",
    "categoricalMapping": "categorical mapping",
    "normalizer": "normalizer",
    "arrayFeatureExtractor": "array feature extractor",
    "nonMaximumSuppression": "non-maximum suppression",
    "identity": "identity",
}

NETWORKS = ("neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor")
PIPELINES = ("pipeline", "pipelineClassifier", "pipelineRegressor")

# Their data or code is part of Apple's systems or of an app, not of the file.
UNSUPPORTED = {
    "customModel": "custom model, whose code is in the app",
    "linkedModel": "linked model, whose content is in another file",
    "textClassifier": "text classifier, which only Apple's systems can run",
    "wordTagger": "word tagger, which only Apple's systems can run",
    "visionFeaturePrint": "Vision feature print, which is part of Apple's systems",
    "soundAnalysisPreprocessing": "sound analysis preprocessing, which is part of Apple's systems",
    "gazetteer": "gazetteer, which only Apple's systems can run",
    "wordEmbedding": "word embedding, which only Apple's systems can run",
    "audioFeaturePrint": "audio feature print, which is part of Apple's systems",
    "serializedModel": "private serialized model, which only Apple's systems can run",
}


def kind_name(kind: str | None) -> str:
    """The name of a kind of model, such as `neural network`."""
    return KINDS.get(kind or "") or UNSUPPORTED.get(kind or "") or kind or "no model"


def check_kind(file: ModelFile) -> None:
    """Raise an error if this kind of model does not run here.

    Raises:
        UnsupportedModelError: The kind is unsupported; the message says why.
        ModelFileError: The file, or this stage of a pipeline, contains no model.
    """
    kind = file.spec.WhichOneof("Type")
    if kind is None:
        raise ModelFileError(f"{file.path} contains no model; export or download it again")
    if kind in UNSUPPORTED:
        raise UnsupportedModelError(
            f"{file.path} cannot run here: it is {with_article(UNSUPPORTED[kind])}"
        )
    if kind not in KINDS:
        raise UnsupportedModelError(
            f"{file.path} is a model of unknown kind {kind!r}; expected one of: "
            f"{', '.join(sorted(set(KINDS.values())))}"
        )
