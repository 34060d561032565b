"""What must be said about a source, and what must not."""

from __future__ import annotations

from pocketlens.conversion.source_kinds import SourceOptions
from pocketlens.errors import OptionError
from pocketlens.image import InputSpec

__all__ = ["needs_labels", "reject_own", "required", "sized"]


def reject_own(options: SourceOptions, what: str) -> None:
    """Refuse labels, an InputSpec and the like of a source that has its own.

    Raises:
        OptionError: One of them is given.
    """
    if options.labels is not None or options.input_spec is not None or options.values:
        raise OptionError(
            f"{what} has its own labels and InputSpec; leave out labels and input_spec"
        )
    if options.head is not None:
        raise OptionError(f"it is known what the outputs of {what} are; leave out head")
    if options.inputs is not None or options.sizes:
        raise OptionError(
            f"{what} has an image of a fixed size as input; leave out inputs and size"
        )


def needs_labels(what: str) -> OptionError:
    """The error for an image classifier without class names."""
    return OptionError(
        f"{what} does not contain class names; pass labels: a list of names, or a text file "
        "with one name per line (--labels FILE)"
    )


def required(options: SourceOptions, what: str) -> tuple[tuple[str, ...], InputSpec]:
    """The labels and the InputSpec of an image classifier.

    Raises:
        OptionError: One of them is missing.
    """
    if options.labels is None:
        raise needs_labels(what)
    if options.input_spec is None:
        raise OptionError(
            f"{what} does not say how pixels become its input; pass input_spec, such as "
            "InputSpec(28, 28, 'gray', scale=1 / 255)"
        )
    return options.labels, options.input_spec


def sized(
    options: SourceOptions, height: int | None, width: int | None, what: str
) -> tuple[int, int]:
    """The size of the image: the one that is said, else that of the model.

    Raises:
        OptionError: There is neither.
    """
    if options.sizes:
        return options.sizes[0]
    if height is None or width is None:
        raise OptionError(f"{what} accepts any input size; add --size HEIGHTxWIDTH")
    return height, width
