"""How good a predictor is: accuracy on a data set, parity of two predictors, and robustness."""

from pocketlens.evaluation.accuracy import Evaluation, evaluate
from pocketlens.evaluation.parity import Parity, Tolerance, verify

__all__ = ["Evaluation", "Parity", "Tolerance", "evaluate", "verify"]
