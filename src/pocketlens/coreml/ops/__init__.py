"""Conversion of Core ML ops to ONNX: the registry, the ops of both dialects, and their readers.

`program` reads ML Programs with the ops in `mil/`; `network` reads neural networks with the layers
in `neural_network/`. Code that both dialects share is in `common/`.
"""
