"""What we chose where Apple's text leaves open what a model that is not a graph computes."""

from __future__ import annotations

from pocketlens.coreml.ops.choice import NO_TEXT, SIMPLEST, TESTS, Choice

__all__ = ["CLASSIC_CHOICES"]

CLASSIC_CHOICES = (
    Choice(
        "an empty list is the same as none; an input item without a score has the score 1; an item "
        "that the model does not know is ignored; of equal scores, the one listed first comes "
        "first",
        "the text names the inputs only",
        "published apps, which pass [] for a list that they do not use",
        classic="itemSimilarityRecommender",
    ),
    Choice(
        "inputs are rounded to float32 if all thresholds are float32 numbers",
        "the text does not say in which type numbers are compared",
        "the libraries whose trees coremltools converts compare in float32",
        classic="treeEnsembleClassifier treeEnsembleRegressor",
    ),
    Choice(
        "a single score for two classes is the probability of the second one, which is predicted "
        "from 0.5 on",
        "the text does not say which class a single score belongs to",
        "what coremltools' converters write",
        classic="treeEnsembleClassifier",
    ),
    Choice(
        "of classes with the same probability, the first one",
        NO_TEXT,
        SIMPLEST,
        classic="treeEnsembleClassifier glmClassifier",
    ),
    Choice(
        "as in libsvm, the label is the most probable class if there are probA and probB, else the "
        "class with the most votes",
        "the text does not say how a label is found",
        "libsvm, from which coremltools converts it",
        classic="supportVectorClassifier",
    ),
    Choice(
        "if votes are equal, the class of the sample that is listed first wins; inverse distance "
        "weights are 1 / squared Euclidean distance, and samples at distance 0 outvote all others; "
        "a model without samples returns its default label and no probabilities",
        "the text has no rule for equal votes and for a distance of 0",
        SIMPLEST,
        classic="kNearestNeighborsClassifier",
    ),
    Choice(
        "a box's confidence is that of its most probable class; boxes are sorted by confidence, "
        "boxes with equal confidence stay in order; a box is suppressed if its overlap is above "
        "the threshold, so a threshold of 1 suppresses none",
        "the text has no rule for equal confidence",
        SIMPLEST,
        classic="nonMaximumSuppression",
    ),
    Choice(
        "a value is missing if it is omitted, equals the value to replace or, if the file has no "
        "value to replace, is NaN; a dictionary is only replaced as a whole, if it is omitted",
        "the text does not say when a value is missing",
        "the example in the text",
        classic="imputer",
    ),
    Choice(
        "keys that the model does not know are ignored",
        NO_TEXT,
        TESTS,
        classic="dictVectorizer",
    ),
    Choice("an omitted number is NaN", NO_TEXT, SIMPLEST, classic="featureVectorizer"),
    Choice(
        "an array whose norm is 0 is returned unchanged",
        "the formula divides by 0",
        "scikit-learn, from which coremltools converts it",
        classic="normalizer",
    ),
    Choice(
        "the probability is Φ(mean / β) with β = 1; a feature value without a weight is an error",
        "the formula has a β, the file has none",
        "the formula with the only value that needs no field",
        classic="bayesianProbitRegressor",
    ),
)
