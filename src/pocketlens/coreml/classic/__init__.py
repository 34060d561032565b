"""Models that are no networks: trees, linear models, support vectors, features, pipelines.

One file per family. A kind of model is one function, named as the specification names the kind,
whose parameters are the fields of its message. It checks the whole message and makes a `Step`,
which takes features and gives features.

A step is NumPy in double precision, not an `ai.onnx.ml` operator: Core ML's classic models hold and
take doubles, those operators' weights are float32 (only trees may have others), and a recommender,
a probit regressor or an optional input has no counterpart there. So `to_onnx` refuses them.
"""
