"""What must be said about a source, and what must not."""

from __future__ import annotations

from pocketlens.conversion.source_kinds import SourceOptions
from pocketlens.errors import OptionError
from pocketlens.image import InputSpec

__all__ = ["needs_labels", "reject_own", "required", "required_spec", "sized", "takes_image"]


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
    if options.inputs is not None or options.takes is not None or options.sizes:
        raise OptionError(
            f"{what} has an image of a fixed size as input; leave out inputs and size"
        )


def needs_labels(what: str) -> OptionError:
    """The error for an image classifier without class names."""
    return OptionError(
        f"{what} does not contain class names; pass labels: a list of names, or a text file "
        "with one name per line (--labels FILE); if it is no classifier, pass inputs='image' or "
        "inputs='array' (--inputs)"
    )


def required(options: SourceOptions, what: str) -> tuple[tuple[str, ...], InputSpec]:
    """The labels and the InputSpec of an image classifier.

    Raises:
        OptionError: One of them is missing.
    """
    if options.labels is None:
        raise needs_labels(what)
    return options.labels, required_spec(options, what)


def required_spec(options: SourceOptions, what: str) -> InputSpec:
    """The InputSpec of a model whose only input is an image.

    Raises:
        OptionError: It is missing.
    """
    if options.input_spec is None:
        raise OptionError(
            f"{what} does not say how pixels become its input; pass input_spec, such as "
            "InputSpec(28, 28, 'gray', scale=1 / 255); or inputs='array', if it takes no image"
        )
    return options.input_spec


def takes_image(options: SourceOptions, shaped: bool, what: str) -> bool:
    """Whether the only input of a model becomes an image.

    Args:
        options: What is said about it.
        shaped: Whether the input has the shape of an image.
        what: How the model is called in messages.

    Raises:
        OptionError: What is said about an image does not fit an array, or labels are missing.
    """
    about_images = [name for name in ("input_spec", "values", "sizes") if getattr(options, name)]
    if options.takes == "columns":
        raise OptionError(f"{what} has no columns; pass inputs='image' or 'array' (--inputs)")
    if options.takes == "array" and about_images:
        raise OptionError(
            f"{what} takes an array, so scale, bias, color, crop, ink and size mean nothing; leave "
            "them out, or leave out inputs='array' (--inputs array)"
        )
    if options.takes is not None:
        return options.takes == "image"
    if options.labels is None and options.input_spec is not None:
        raise needs_labels(what)
    if options.labels is None and (about_images or options.head):
        raise OptionError(
            f"{what} has arrays as inputs; for an image classifier, add --labels FILE (one per "
            "line) or --labels a,b,c; for an image and other outputs, add --inputs image; in "
            "Python: labels=[…], inputs='image'"
        )
    return options.input_spec is not None or (options.labels is not None and shaped)


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
