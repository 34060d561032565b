"""The public API: complete, sorted, documented, and the same as the command line."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import typing
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest

import pocketlens
from pocketlens.cli.shell import app


def names_of(module: Any) -> dict[str, Any]:
    """The names that the annotations of a module use, those of `if TYPE_CHECKING` included."""
    names = {**vars(module), **aliases()}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for each in node.body:
                exec(compile(ast.Module([each], []), str(module.__file__), "exec"), names)
    return names


def aliases() -> dict[str, Any]:
    """The type aliases that are written as text, as they name classes of heavy libraries."""
    from PIL import Image

    from pocketlens import image, recipe

    found: dict[str, Any] = {"Image": Image}
    for module, name in ((image, "ImageSource"), (recipe, "Overrides")):
        found[name] = eval(getattr(module, name), {**vars(module), **found})
    source = found["ImageSource"]
    found["ImageSources"] = Sequence[source]  # type: ignore[valid-type]  # only known here
    return found


def annotated(thing: Any) -> Iterator[Any]:
    """The functions, methods and classes whose annotations are part of the API of `thing`."""
    if not inspect.isclass(thing):
        yield thing
        return
    if is_dataclass(thing):
        yield thing
    # The constructor is public unless the class says what makes its objects.
    made = re.search(r"`\w+` creates it", thing.__doc__ or "")
    for name, member in inspect.getmembers(thing):
        if name.startswith("_") and (name != "__init__" or made):
            continue
        if isinstance(member, property):
            member = member.fget
        if inspect.isfunction(member) or inspect.ismethod(member):
            function = inspect.unwrap(member)
            if function.__module__.startswith("pocketlens"):
                yield function


def classes_in(hint: Any) -> Iterator[type]:
    if inspect.isclass(hint) and not typing.get_args(hint):
        yield hint
    for each in typing.get_args(hint):
        if not isinstance(each, str | int | float | bool | tuple):
            yield from classes_in(each)


@pytest.mark.parametrize("name", pocketlens.__all__)
def test_every_type_in_a_public_signature_is_public(name: str) -> None:
    public = {getattr(pocketlens, each) for each in pocketlens.__all__}
    for thing in annotated(getattr(pocketlens, name)):
        names = names_of(sys.modules[thing.__module__])
        for place, hint in typing.get_type_hints(thing, globalns=names).items():
            for cls in classes_in(hint):
                if cls.__module__.startswith("pocketlens"):
                    assert cls in public, f"{thing.__qualname__}: {place} is a {cls.__name__}"


def test_types_are_found_in_all_annotations() -> None:
    """The test above would find a missing type."""
    found = set()
    for name in ("train", "load", "Run", "verify"):
        for thing in annotated(getattr(pocketlens, name)):
            hints = typing.get_type_hints(thing, globalns=names_of(sys.modules[thing.__module__]))
            found |= {cls.__name__ for hint in hints.values() for cls in classes_in(hint)}
    assert {"Training", "Callback", "CoreMLModel", "Evaluation", "Epoch", "Tolerance"} <= found


@pytest.mark.parametrize("name", pocketlens.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    thing = getattr(pocketlens, name)
    text = inspect.getdoc(thing)
    assert text, f"{name} has no docstring"
    assert text.splitlines()[0].endswith((".", ":")), text.splitlines()[0]
    if not inspect.isclass(thing):
        documented = [p for p in inspect.signature(thing).parameters if f"{p}: " in text]
        parameters = inspect.signature(thing).parameters
        assert not parameters or documented or "As " in text, f"{name} documents no argument"


def test_names_are_sorted_and_there() -> None:
    assert pocketlens.__all__ == sorted(pocketlens.__all__, key=lambda n: (n[0].islower(), n))
    assert set(pocketlens.__all__) == set(pocketlens._HOME)
    source = ast.parse(Path(pocketlens.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.asname
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pocketlens.")
        for alias in node.names
    }
    assert typed == set(pocketlens.__all__), "type checkers see the same names"


def commands() -> Iterator[str]:
    for command in app.registered_commands:
        yield command.name or ""
    for group in app.registered_groups:
        assert group.typer_instance is not None
        for command in group.typer_instance.registered_commands:
            yield f"{group.name} {command.name}"


def test_every_command_has_a_public_function() -> None:
    # These three only list or copy text; their functions are `list_recipes` and friends.
    without = {"recipes copy", "data list"}
    assert set(commands()) - without == set(pocketlens.COMMANDS)
    for command, name in pocketlens.COMMANDS.items():
        assert callable(getattr(pocketlens, name))
        if name in command.split():
            continue
        # The verb differs only where a subpackage or a library has the command's name.
        noun = command.split()[0]
        is_subpackage = importlib.util.find_spec(f"pocketlens.{noun}") is not None
        assert is_subpackage or noun in ("onnx", "recipes", "runs"), command


def test_subpackages_work_after_importing_the_package() -> None:
    code = "import pocketlens as p; print(*(getattr(p, name).__name__ for name in p._SUBPACKAGES))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"pocketlens.{name}" for name in pocketlens._SUBPACKAGES]


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        pocketlens.trian  # noqa: B018
