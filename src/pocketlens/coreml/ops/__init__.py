"""From Core ML ops to ONNX: the registry, one folder per dialect, and the readers of both dialects.

`program` reads ML Programs with the ops of `mil/`; `network` reads neural networks with the layers
of `neural_network/`. What both dialects share is in `common/`.
"""
