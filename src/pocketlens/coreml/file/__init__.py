"""Reads `.mlmodel` and `.mlpackage` files: the specification, the weights, the features."""
