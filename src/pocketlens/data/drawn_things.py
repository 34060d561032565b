"""The names of sources of drawings: `doodles`, `doodles:apple,bee`, `quickdraw:all@500`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pocketlens.data.quickdraw_names import QUICKDRAW_THINGS
from pocketlens.data.sketches import things
from pocketlens.errors import OptionError, did_you_mean

__all__ = ["DOODLES", "QUICKDRAW", "DrawnThings", "is_drawn"]

DOODLES, QUICKDRAW = "doodles", "quickdraw"

EVERYTHING = "all"

KNOWN: dict[str, Callable[[], tuple[str, ...]]] = {
    DOODLES: things,
    QUICKDRAW: lambda: QUICKDRAW_THINGS,
}

MOST = {DOODLES: 20_000, QUICKDRAW: 400_000}
"""The most drawings of each thing; Google has at most 340,029, of the snowman."""

MOST_IMAGES = 4_000_000
"""The most drawings of all things together: 3 GB."""

USUAL = {DOODLES: 1_000, QUICKDRAW: 2_000}
"""Drawings of each thing by default."""

SHOWN = 3


@dataclass(frozen=True)
class DrawnThings:
    """A source of drawings.

    Args:
        kind: `doodles` or `quickdraw`.
        things: What is drawn: the classes, in the order of the name; for all, in alphabetical
            order.
        count: Drawings of each thing: of `doodles`, those to train on; of `quickdraw`, all.
        name: The name of the source.
    """

    kind: str
    things: tuple[str, ...]
    count: int
    name: str

    @property
    def trained_on(self) -> int:
        """Drawings of each thing in the split `train`."""
        return self.count if self.kind == DOODLES else self.count - self.count // 10

    @classmethod
    def parse(cls, source: str) -> DrawnThings | None:
        """The source that a name such as `quickdraw:apple,bee@500` stands for; None for others.

        Raises:
            OptionError: There is no such thing, or the number is not valid.
        """
        found = re.fullmatch(r"(\w+)(:[^@]*)?(@.*)?", source, re.DOTALL)
        if found is None or found[1] not in KNOWN:
            return None
        kind, chosen, number = found[1], (found[2] or "")[1:], found[3]
        if not chosen and (kind == QUICKDRAW or found[2]):
            raise OptionError(
                f"data source {source!r} does not say what is drawn; expected, for example: "
                f"{kind}:apple,bee or {kind}:{EVERYTHING}"
            )
        every = KNOWN[kind]()
        names = every if chosen in ("", EVERYTHING) else _things(kind, chosen, every)
        count = USUAL[kind] if number is None else _count(source, number[1:], MOST[kind])
        if count * len(names) > MOST_IMAGES:
            raise OptionError(
                f"data source {source!r} has {count * len(names):,} drawings; expected at most "
                f"{MOST_IMAGES:,}, such as {kind}:{chosen}@{MOST_IMAGES // len(names)}"
            )
        return cls(kind, names, count, source)


def is_drawn(source: str) -> bool:
    """Whether a name is one of `doodles` or `quickdraw`, valid or not."""
    return re.split("[:@]", source, maxsplit=1)[0] in KNOWN


def _things(kind: str, chosen: str, every: tuple[str, ...]) -> tuple[str, ...]:
    plain = {_plain(name): name for name in every}
    found, errors = [], []
    for name in chosen.split(","):
        if (thing := plain.get(_plain(name))) is None:
            hint = did_you_mean(_plain(name), plain) if len(plain) <= 50 else _near(name, plain)
            errors.append(f"{name.strip()!r}: {hint}")
        else:
            found.append(thing)
    if errors:
        more = f"; and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
        raise OptionError(f"unknown in {kind}: {'; '.join(errors[:SHOWN])}{more}")
    if repeated := [name for name in found if found.count(name) > 1]:
        raise OptionError(f"{repeated[0]!r} is more than once in {kind}:{chosen}")
    if len(found) < 2:
        raise OptionError(
            f"{kind}:{chosen} has one class; expected at least 2, such as {kind}:{chosen},"
            f"{next(name for name in every if name != found[0])}"
        )
    return tuple(found)


def _near(name: str, plain: dict[str, str]) -> str:
    """The end of an error message: the nearest name, without the list of all 345."""
    hint = did_you_mean(_plain(name), plain)
    return hint if hint.startswith("did you mean") else "expected a name of Quick, Draw!'s list"


def _plain(name: str) -> str:
    """A name as it is compared: without case, and with spaces for `_` and `-`."""
    return re.sub(r"[\s_-]+", " ", name.strip().casefold())


def _count(source: str, number: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", number) or not 10 <= int(number) <= most:
        raise OptionError(
            f"the number after @ in {source!r} must be from 10 to {most:,}, the drawings of each "
            f"thing; received: {number!r}"
        )
    return int(number)
