"""The groups of writers whose digits `strokes` draws, and the names of sources for them."""

from __future__ import annotations

from pocketlens.errors import OptionError, did_you_mean

__all__ = [
    "MNIST",
    "POPULATIONS",
    "REGIONS",
    "STROKES",
    "WORLD",
    "check_population",
    "population_of",
]

STROKES = "strokes"
MNIST, WORLD = "mnist", "world"
REGIONS = ("east-asia", "eastern-europe", "latin-america", "north-america", "western-europe")
POPULATIONS = (MNIST, WORLD, *REGIONS)
"""The writers of MNIST, of the whole world, and of each region."""


def check_population(population: str) -> str:
    """The name itself, if it is one of `POPULATIONS`.

    Raises:
        OptionError: It is not.
    """
    if population not in POPULATIONS:
        raise OptionError(
            f"population or region {population!r} of strokes is not known; "
            f"{did_you_mean(str(population), POPULATIONS)}"
        )
    return population


def population_of(source: str) -> str | None:
    """The population that `strokes` or `strokes:NAME` stands for; None for any other source.

    Raises:
        OptionError: The population is unknown.

    Examples:
        >>> population_of("strokes:world")
        'world'
        >>> population_of("strokes")
        'mnist'
    """
    if source == STROKES:
        return MNIST
    kind, colon, name = source.partition(":")
    return check_population(name) if kind == STROKES and colon else None
