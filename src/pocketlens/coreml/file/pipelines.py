"""The stages of a pipeline: its models, in order, with their names."""

from __future__ import annotations

from typing import Any

from pocketlens.coreml.file.errors import located_errors
from pocketlens.coreml.file.package import ModelFile
from pocketlens.errors import ModelFileError

__all__ = ["MAX_DEPTH", "MAX_STAGES", "NamedStages", "name_stages", "stages_of"]

MAX_DEPTH = 8
"""How deep pipelines may be nested."""

MAX_STAGES = 256
"""How many models a pipeline may contain."""

NamedStages = tuple[tuple[str, Any], ...]
"""The name and the specification message of each stage."""


def name_stages(models: tuple[Any, ...], names: tuple[str, ...]) -> NamedStages:
    """The models of a pipeline with their names: `model0`, `model1`, ... if the file has none.

    Raises:
        ModelFileError: There are no models or too many, or the names do not match the models.
    """
    if not models:
        raise ModelFileError("it contains no models; expected at least one")
    if len(models) > MAX_STAGES:
        raise ModelFileError(f"it contains {len(models)} models; expected at most {MAX_STAGES}")
    if names and len(names) != len(models):
        raise ModelFileError(f"it has {len(names)} names for {len(models)} models")
    if len(set(names)) != len(names):
        raise ModelFileError("two of its models have the same name")
    titles = names or tuple(f"model{number}" for number in range(len(models)))
    return tuple(zip(titles, models, strict=True))


def stages_of(file: ModelFile) -> list[ModelFile]:
    """The models of a pipeline of any of the three kinds, in order, each with its name.

    Raises:
        ModelFileError: There are no models or too many, or the names do not match the models.
    """
    kind = file.spec.WhichOneof("Type")
    message = getattr(file.spec, kind)
    with located_errors(file, f"the model ({kind})"):
        if kind != "pipeline":
            if not message.HasField("pipeline"):
                raise ModelFileError("it has no 'pipeline', which this model needs")
            message = message.pipeline
        named = name_stages(tuple(message.models), tuple(message.names))
    return [file.part(spec, name) for name, spec in named]
