"""Runs models.

`model.CoreMLModel` is the base class of all loaded models, `graph_model.GraphModel` runs a graph in
ONNX Runtime, `flexible` and `sequences` handle inputs with several shapes, `state` what a model
remembers, and `inputs` converts what callers pass.
"""
