"""Parses TOML of unknown origin."""

from __future__ import annotations

import re
import tomllib
from typing import Any

__all__ = ["parse_toml"]

LONG_KEY = re.compile(
    r"""(?<![\w"'\\-])(?:(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){100}"""
)
"""A key of more than 100 parts: `tomllib` takes memory with the square of their number."""


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        ValueError: It is not TOML, or nested too deeply.
    """
    if LONG_KEY.search(text):
        raise ValueError("it is nested too deeply: a key has more than 100 parts")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
