"""Runs models: what all loaded models share, graphs in ONNX Runtime, flexible shapes, state."""
