"""Reads `.mlmodel` and `.mlpackage` files: specification, weights, declared features.

`package.open_model` is the entry point. Files are untrusted: sizes, paths and headers are checked
before anything is read or allocated.
"""
