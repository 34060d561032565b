"""ONNX networks as sources of Core ML files, through the package onnx2coreml."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketlens.conversion.from_onnx.class_names import drop_texts
from pocketlens.conversion.from_onnx.fixing import fix_shapes
from pocketlens.conversion.from_onnx.image import Picture, image_shape, inputs_of, layout_of
from pocketlens.conversion.from_onnx.own_scaling import own_scaling
from pocketlens.conversion.from_onnx.preparing import identifier, prepare
from pocketlens.conversion.from_onnx.program import known_ops
from pocketlens.conversion.from_onnx.reading import read_onnx
from pocketlens.conversion.from_onnx.sources import Network, OnnxArrays, OnnxClassifier
from pocketlens.conversion.pixel_scaling import assumed_spec, double_scaling
from pocketlens.conversion.required import required_spec, sized, takes_image
from pocketlens.conversion.source_kinds import SourceOptions
from pocketlens.coreml.file.budget import Budget
from pocketlens.errors import ConversionError, OptionError, printable
from pocketlens.image import INPUT_SPEC_KEY, InputSpec

__all__ = ["OnnxArrays", "OnnxClassifier", "open_onnx"]


def open_onnx(model: Path, options: SourceOptions) -> OnnxArrays | OnnxClassifier:
    """An ONNX file as a source; with labels and an image as its input, it classifies images.

    A file that `pocketlens onnx` wrote has its class names and its InputSpec.
    `options.inputs` may give the shapes of its inputs: `{"input": (1, 3, 224, 224)}`.

    Raises:
        ConversionError: The file is damaged or unsafe, or has something that Core ML cannot
            express; the message names the nodes.
        OptionError: The shape of an input is not fixed, or an option does not fit.
        MissingExtraError: onnx2coreml is not installed.
    """
    known = known_ops()  # fails early without the package
    budget = Budget()
    network = read_onnx(model, budget)
    names, notes = drop_texts(network)
    if options.labels is None and options.takes != "array":
        options = replace(options, labels=names)
    shapes = _shapes(network, options)
    inputs = inputs_of(network.graph)
    shaped = len(inputs) == 1 and _has_image_shape(inputs[0])
    options = _stored_spec(network, model, options, shaped)
    if not takes_image(options, shaped, str(model)):
        notes += fix_shapes(network, shapes)
        return OnnxArrays(Network(model, network, budget, known), options, tuple(notes))
    if len(inputs) != 1:
        raise ConversionError(
            f"{model} has {len(inputs)} inputs; expected one, an image; without --labels and "
            "--inputs image, it becomes a model from arrays to arrays"
        )
    (entry,) = inputs
    height, width, channels = image_shape(entry)
    if options.input_spec is None and options.assume:
        height, width = sized(options, height, width, str(model))
        rough = InputSpec(height, width, "gray" if channels == 1 else "rgb")
    else:
        rough = required_spec(options, str(model))
    layout, shape = layout_of(entry, rough)
    fix_shapes(network, {entry.name: shapes.get(entry.name, shape)})
    opened = Network(model, network, budget, known)
    own = own_scaling(prepare(network, copy(budget), keep=known))
    found: list[str] = []
    spec = options.input_spec
    if spec is None:
        found = [f"the network scales pixels itself, at {own}"] if own else []
        spec = assumed_spec(rough.height, rough.width, channels, own is not None, options.values)
    picture = Picture(layout, spec)
    source: OnnxArrays | OnnxClassifier
    if options.labels is None:
        source = OnnxArrays(opened, options, (*notes, *found), picture)
    else:
        source = OnnxClassifier(opened, options.labels, picture, options.head)
        source.notes = tuple(found)
    if own and (warning := double_scaling("the network", f"at {own}", spec)):
        source.warnings = (warning,)
    return source


def _shapes(network: Any, options: SourceOptions) -> dict[str, Any]:
    """The given shapes by the names of the inputs in the file."""
    shapes = options.inputs or {}
    if not isinstance(shapes, Mapping):
        raise OptionError(
            "inputs of an ONNX file must be shapes by name, such as "
            f"{{'input': (1, 3, 224, 224)}}, or 'image' or 'array'; received: {shapes!r}"
        )
    # The names may be those in the Core ML file, such as `input_1` for `input.1`.
    names = {identifier(each.name): str(each.name) for each in network.graph.input}
    return {
        names.get(identifier(name), str(name)): getattr(shape, "shape", shape)
        for name, shape in shapes.items()
    }


def _has_image_shape(entry: Any) -> bool:
    """Whether an input has the shape of an image; a flat vector has not."""
    dims = list(entry.type.tensor_type.shape.dim)
    if len(dims) < 2 or (len(dims) == 2 and dims[0].dim_value in (0, 1)):
        return False
    try:
        image_shape(entry)
    except ConversionError:
        return False
    return True


def _stored_spec(network: Any, path: Path, options: SourceOptions, shaped: bool) -> SourceOptions:
    """The options with the InputSpec that is stored in the file, if none is given."""
    text = next((each.value for each in network.metadata_props if each.key == INPUT_SPEC_KEY), None)
    if text is None or not shaped or options.takes == "array" or options.input_spec is not None:
        return options
    if options.labels is None and options.takes is None:
        return options
    try:
        spec = InputSpec.from_json(text).with_values(**options.values)
    except OptionError as error:
        raise ConversionError(
            f"{path}: its metadata {INPUT_SPEC_KEY} cannot be used: {printable(str(error))[:200]}; "
            "export it again"
        ) from error
    return replace(options, input_spec=spec, values={})
