"""Read a `.pt2` file of `torch.export.save` without running what it contains.

`torch.export.load` runs code from a file in several ways: weights, constants and example inputs may
be pickles, expressions of sizes are evaluated by Python, and the name of an op may be that of any
function of PyTorch. So the file is checked first, part by part, and what has been checked is put
into a new archive in memory, which PyTorch then reads: nothing else of the file reaches it.
"""

from __future__ import annotations

import ast
import io
import json
import math
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from pocketlens.archives import opened_zip
from pocketlens.conversion.quiet import first_line, quiet
from pocketlens.errors import ConversionError, printable
from pocketlens.files import size_text

__all__ = ["MAX_PT2_BYTES", "load_pt2"]

MAX_PT2_BYTES = 2 * 1024**3
"""The largest `.pt2` file that is read, unpacked."""

MAX_PROGRAM_BYTES = 256 * 1024**2
"""The largest program in it: the graph, without weights."""

MAX_TENSOR = 2**28
"""The most elements of a tensor that the program computes."""

_RAW = re.compile(r"data/(weights/weight|constants/tensor)_\d+")
_LEGACY = re.compile(r"data/(weights|constants)/model\.pt")
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_PROGRAM, _EXAMPLE = "models/model.json", "data/sample_inputs/model.pt"
_PLAIN = {"archive_format", "archive_version", "byteorder", ".data/version"}

_OPS = re.compile(
    r"torch\.ops\.aten\.(?!from_file)(?:[a-z_]\w*|__(?:and|or|xor|lshift|rshift)__)(?:\.\w+)?"
    r"|_operator\.[a-z]+|math\.[a-z]+|torch\.sym_[a-z]+|torch\._sym_sqrt"
)
"""The ops that a program may call: those of tensors, and arithmetic with sizes."""

_EXPRESSIONS = {
    "Symbol", "Integer", "Float", "Rational", "Mul", "Add", "Pow", "Max", "Min", "Mod",
    "FloorDiv", "CleanDiv", "ModularIndexing", "PythonMod", "CeilToInt", "FloorToInt", "ToFloat",
    "IntTrueDiv", "FloatTrueDiv", "Where", "Eq", "Ne", "Le", "Lt", "Ge", "Gt", "And", "Or", "Not",
    "Equality", "Unequality", "LessThan", "StrictLessThan", "GreaterThan", "StrictGreaterThan",
    "TruncToInt", "RoundToInt", "PowByNatural", "NegativeInfinity", "Infinity",
}  # fmt: skip
"""The functions in the expression of a size."""

_NAMED = ("tensor_values", "sym_int_values", "sym_bool_values", "sym_float_values")
_TREES = {"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}
_METADATA = ("stack_trace", "nn_module_stack")
_FORBIDDEN = ("as_operator", "as_custom_obj", "as_opaque", "as_graph")


def load_pt2(path: Path) -> torch.export.ExportedProgram:
    """The program in a `.pt2` file.

    Raises:
        ConversionError: The file is damaged or too large, has been saved by another version of
            PyTorch, or contains something that runs code; the message says what.
    """
    try:
        content = _checked(path)
    except (zipfile.BadZipFile, OSError, ValueError, RecursionError, KeyError) as error:
        raise ConversionError(
            f"{path} cannot be read as a .pt2 file: {printable(str(error))[:200]}; save it again "
            "with torch.export.save"
        ) from error
    with quiet():
        try:
            return torch.export.load(content)
        except Exception as error:  # PyTorch raises exceptions of any type
            raise ConversionError(
                f"PyTorch {torch.__version__} cannot read {path}: {printable(first_line(error))}; "
                "export the network again with this version"
            ) from error


def _checked(path: Path) -> io.BytesIO:
    """A new archive with the checked content."""
    made = io.BytesIO()
    with opened_zip(path) as archive, zipfile.ZipFile(made, "w") as new:
        size = sum(member.file_size for member in archive.infolist())
        if size > MAX_PT2_BYTES:
            raise _refused(
                path, f"has {size_text(size)}", f"expected at most {size_text(MAX_PT2_BYTES)}"
            )
        names = archive.namelist()
        root = names[0].partition("/")[0] if names else ""
        if f"{root}/data.pkl" in names:
            raise _pickled(path, "everything")
        if f"{root}/{_PROGRAM}" not in names:
            raise _refused(
                path,
                "has no program of the name 'model'",
                "if an older PyTorch saved it, load it there, and save it again with PyTorch 2.9 "
                "or later: torch.export.save(program, 'model.pt2')",
            )
        if len(set(names)) < len(names):
            raise _refused(path, "has a part twice", "save it again with torch.export.save")
        for name in names:
            part = name.removeprefix(f"{root}/")
            content = _part(path, part, archive, name)
            if content is not None:
                new.writestr(f"model/{part}", content)
    made.seek(0)
    return made


def _part(path: Path, part: str, archive: zipfile.ZipFile, name: str) -> bytes | None:
    """The content of one part of the archive; None if it is not needed.

    Raises:
        ConversionError: It may run code.
    """
    if part in _PLAIN or _RAW.fullmatch(part):
        return archive.read(name)
    if part in _CONFIGS:
        content = archive.read(name)
        for key, weight in json.loads(content)["config"].items():
            if weight.get("use_pickle") or not re.fullmatch(
                r"(weight|tensor)_\d+", weight["path_name"]
            ):
                raise _pickled(path, f"the tensor {key!r}")
        return content
    if part == _EXAMPLE or _LEGACY.fullmatch(part):
        content = archive.read(name)
        if content and not _only_tensors(content):
            raise _pickled(path, "its example inputs" if part == _EXAMPLE else "its weights")
        return content
    if part == _PROGRAM:
        if archive.getinfo(name).file_size > MAX_PROGRAM_BYTES:
            raise _refused(path, "has too large a program", f"at most {MAX_PROGRAM_BYTES} bytes")
        return _program(path, json.loads(archive.read(name)))
    if part.startswith(("extra/", ".data/")):
        return None
    raise _refused(
        path,
        f"contains {printable(part)!r}, which is not part of a plain program",
        "expected weights and a graph of ops, as torch.export.save writes them",
    )


def _only_tensors(content: bytes) -> bool:
    """Whether a file of `torch.save` has tensors and plain values only, and is not too large."""
    try:
        with opened_zip(io.BytesIO(content)) as inner:
            if sum(member.file_size for member in inner.infolist()) > MAX_PT2_BYTES:
                return False
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception:  # of any type; it is refused then
        return False
    return True


def _program(path: Path, program: dict[str, Any]) -> bytes:
    """The program, without what is not needed."""
    program["guards_code"] = []  # Python code, which checks the inputs
    module = program["graph_module"]
    module["metadata"] = {}
    module["module_call_graph"] = [
        each for each in module["module_call_graph"] if each.get("fqn") == ""
    ]
    for key, value in _walk(program):
        if (error := _error(key, value)) is not None:
            raise _refused(path, *error)
        if key == "metadata" and isinstance(value, dict):
            for name in [name for name in value if name not in _METADATA]:
                del value[name]
        if key in ("device", "as_device") and isinstance(value, dict):
            value.update(type="cpu", index=None)
    return json.dumps(program).encode()


def _error(key: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with one value of a program, and what is expected; None if it is right."""
    shown = printable(str(value))[:100]
    if key in ("name", "as_name") and value is not None and not _is_name(value):
        return f"has the name {shown!r}", "expected letters, digits and underscores"
    if key in _NAMED and not all(map(_is_name, value or ())):
        return "has tensors with unusual names", "expected letters, digits and underscores"
    if key == "target" and not (isinstance(value, str) and _is_op(value)):
        return (
            f"calls {shown!r}, which is not an op of PyTorch's own",
            "replace it by PyTorch's ops, and export the network again",
        )
    if key == "expr_str" and not _is_expression(value):
        return f"has the size {shown!r}", "expected an arithmetic expression"
    if key in _FORBIDDEN and value is not None:
        return (
            "has an op with a graph or an object of its own inside, such as a condition or a "
            "script module",
            "expected one graph of tensor ops; export the network without it",
        )
    if key in ("in_spec", "out_spec") and value:
        for inner, found in _walk(json.loads(value)):
            if inner == "type" and found is not None and found not in _TREES:
                return (
                    f"takes or returns a {printable(str(found))[:100]}",
                    "expected tensors, and tuples, lists and dictionaries of them",
                )
    # The end of a slice may be any number, so a single one counts only within limits.
    sizes = value if key == "as_ints" and value and max(value) < 2**40 else []
    if math.prod(max(1, size) for size in sizes) > MAX_TENSOR:
        return f"computes a tensor of the size {shown}", f"expected at most {MAX_TENSOR} elements"
    return None


def _is_name(value: Any) -> bool:
    """Whether it is an identifier: PyTorch writes names into Python code, which it runs."""
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z_]\w*", value, re.ASCII) is not None


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys and values inside a JSON value."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield from list(each.items())
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _is_op(target: str) -> bool:
    return bool(_OPS.fullmatch(target)) and ("__" not in target or "aten.__" in target)


def _is_expression(value: Any) -> bool:
    """Whether it is the text of arithmetic with symbols, numbers and known functions only."""
    if not isinstance(value, str) or len(value) > 10_000:
        return False
    try:
        tree = ast.parse(value, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    allowed = (
        ast.Expression, ast.Call, ast.Name, ast.Load, ast.keyword, ast.Constant, ast.BinOp,
        ast.UnaryOp, ast.Compare, ast.operator, ast.unaryop, ast.cmpop,
    )  # fmt: skip
    for node in ast.walk(tree):
        if not isinstance(node, allowed):
            return False
        if isinstance(node, ast.Call) and not (
            isinstance(node.func, ast.Name) and node.func.id in _EXPRESSIONS
        ):
            return False
        if isinstance(node, ast.Name) and not re.fullmatch(r"[a-z]\d+|\w+", node.id):
            return False
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and not re.fullmatch(r"[A-Za-z]\w{0,40}", text):
            return False
        if isinstance(node, ast.Pow):  # 9**9**9
            return False
    return True


def _pickled(path: Path, what: str) -> ConversionError:
    return _refused(
        path,
        f"stores {what} as a pickle, which runs code from the file when it is read",
        "export the network again from plain tensors with the current PyTorch: "
        "torch.export.save(torch.export.export(network.eval(), (example,)), 'model.pt2')",
    )


def _refused(path: Path, what: str, expected: str) -> ConversionError:
    return ConversionError(f"{path} {what}; {expected}")
