"""The fixed shapes of the inputs of an ONNX network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pocketlens.errors import ConversionError, OptionError, did_you_mean, printable

__all__ = ["fix_shapes"]


def fix_shapes(model: Any, shapes: Mapping[str, Sequence[int]]) -> list[str]:
    """Give each input of a network a fixed shape, in place; a batch of any size becomes 1.

    Args:
        model: The `ModelProto`.
        shapes: The shape of inputs by their names in the file.

    Returns:
        What was assumed, in words.

    Raises:
        OptionError: An input has no fixed shape and none is given, or the given one does not fit.
    """
    graph = model.graph
    weights = {each.name for each in graph.initializer}
    given = [each for each in graph.input if each.name not in weights]
    names = [each.name for each in given]
    if unknown := [name for name in shapes if name not in names]:
        raise OptionError(
            f"the network has no input {unknown[0]!r}; {did_you_mean(unknown[0], names)}"
        )
    sizes: dict[str, int] = {}
    notes: list[str] = []
    for each in given:
        kind = each.type.tensor_type
        wanted = shapes.get(each.name)
        example = f"--shape {each.name}=1,3,224,224"
        if not kind.HasField("shape"):
            if wanted is None:
                raise OptionError(
                    f"the input '{printable(each.name)}' has no shape in the file; add one, such "
                    f"as {printable(example)}"
                )
            for _ in wanted:
                kind.shape.dim.add()
        dims = list(kind.shape.dim)
        if not dims and wanted is not None and tuple(wanted) == (1,):
            wanted = ()  # Core ML's shape of a single number
        if wanted is not None and len(wanted) != len(dims):
            raise OptionError(
                f"the input '{printable(each.name)}' has {len(dims)} dimensions; received the "
                f"shape {tuple(wanted)}"
            )
        for at, dim in enumerate(dims):
            symbol = dim.dim_param
            if wanted is not None:
                size = int(wanted[at])
                if size < 1 or (dim.dim_value > 0 and dim.dim_value != size):
                    raise OptionError(
                        f"the input '{printable(each.name)}' has the size {dim.dim_value or 'any'} "
                        f"in dimension {at}; received {size}"
                    )
            elif dim.dim_value > 0:
                continue
            elif dim.HasField("dim_value") and dim.dim_value == 0:
                raise ConversionError(
                    f"the input '{printable(each.name)}' is empty: its size is 0 in dimension {at}"
                )
            elif symbol in sizes:
                size = sizes[symbol]
            elif at == 0:
                size = 1
                notes.append(f"the batch of the input '{printable(each.name)}' is 1")
            else:
                shown = ",".join(str(d.dim_value or d.dim_param or "?") for d in dims)
                raise OptionError(
                    f"the input '{printable(each.name)}' has the shape {printable(shown)}, which "
                    f"is not fixed; add its sizes, such as --shape {printable(each.name)}="
                    + ",".join(
                        str(d.dim_value if d.dim_value > 0 else 224 if i else 1)
                        for i, d in enumerate(dims)
                    )
                )
            if symbol and sizes.setdefault(symbol, size) != size:
                raise OptionError(
                    f"the size '{printable(symbol)}' is {sizes[symbol]} in one input and "
                    f"{size} in another; expected the same"
                )
            dim.dim_value = size
    return notes
