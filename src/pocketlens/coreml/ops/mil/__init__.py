"""ML Program ops, one file per family; the families have the names that coremltools uses.

A lowering takes the graph and the op's fields. The annotation says what a field may be: `Value` a
tensor, `Values` several tensors, `Block` a nested block, `State` the name of a state, anything else
(`float`, `Ints`, `Array`, ...) a constant. In comments on shapes, `n` is the batch, `C` the
channels and `*D` the spatial sizes.
"""
