"""The kinds of Core ML model, and which of them run here."""

from __future__ import annotations

from pocketlens.coreml.file.package import ModelFile
from pocketlens.errors import ModelFileError, UnsupportedModelError

__all__ = ["KINDS", "NETWORKS", "NEVER", "PIPELINES", "check_kind"]

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

# Their data or code is inside Apple's systems or in the app, not in the file.
NEVER = {
    "customModel": "custom model, whose code is in the app",
    "linkedModel": "linked model, whose file is elsewhere",
    "textClassifier": "text classifier, which only Apple's systems can run",
    "wordTagger": "word tagger, which only Apple's systems can run",
    "visionFeaturePrint": "Vision feature print, which only Apple's systems hold",
    "soundAnalysisPreprocessing": "sound analysis preprocessing, which only Apple's systems hold",
    "gazetteer": "gazetteer, which only Apple's systems can run",
    "wordEmbedding": "word embedding, which only Apple's systems can run",
    "audioFeaturePrint": "audio feature print, which only Apple's systems hold",
    "serializedModel": "private serialized model, which only Apple's systems can run",
}


def check_kind(file: ModelFile) -> None:
    """Refuse a kind of model that does not run here.

    Raises:
        UnsupportedModelError: The kind, and why it does not run.
        ModelFileError: A stage of a pipeline without a model.
    """
    kind = file.spec.WhichOneof("Type")
    if kind is None:
        raise ModelFileError(f"{file.path} has no model in it; export or download it again")
    if kind in NEVER:
        raise UnsupportedModelError(f"{file.path} holds no model that can run here: {NEVER[kind]}")
    if kind not in KINDS:
        raise UnsupportedModelError(
            f"{file.path} holds a model of the kind {kind!r}; expected one of: "
            f"{', '.join(sorted(set(KINDS.values())))}"
        )
