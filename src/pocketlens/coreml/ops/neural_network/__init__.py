"""NeuralNetwork layers, one file per family of layers.

A lowering takes the graph, the layer's inputs, and the fields of the layer's message as keyword
arguments. A field annotated `Message` is passed unchanged. The defaults are the specification's.
"""
