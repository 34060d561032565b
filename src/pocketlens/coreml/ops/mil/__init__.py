"""ML Program ops, one file per family, named as coremltools names its families.

A lowering takes the graph and the op's fields. What a field is annotated with says what it may be:
`Value` a tensor, `Values` several, anything else (`float`, `Ints`, `Array`, ...) a constant. In a
comment of shape, `n` is the batch, `C` channels, `*D` spatial sizes.
"""
