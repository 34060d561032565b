"""Models that are no networks: trees, linear models, support vectors, features, pipelines.

One file per family. A kind of model is one function, named as the specification names the kind,
whose parameters are the fields of its message. It checks the whole message and makes a `Step`,
which takes features and gives features.

A step is NumPy in double precision, not an `ai.onnx.ml` operator: those hold weights and compute in
float32, know no missing values of their own for an imputer, no dictionaries of declared size, no
pairwise coupling as libsvm has it, and give Core ML's answers only nearly. Such models are small.
"""
