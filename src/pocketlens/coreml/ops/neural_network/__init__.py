"""NeuralNetwork layers, one file per family of layers.

A lowering takes the graph, the layer's inputs, and by keyword the fields of its message. A field
annotated `Message` is handed over as it is. The defaults are those that the specification gives.
"""
