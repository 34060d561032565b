"""The engine that runs a model in the page: the page's own where it can, else onnxruntime-web."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketlens.errors import AppError, OptionError, UnsupportedModelError, did_you_mean

if TYPE_CHECKING:
    import onnx

__all__ = ["ENGINES", "Engine", "choose_engine"]

ENGINES = ("auto", "pocketlens", "onnxruntime")

PAGE = Path(__file__).parent / "page"


@dataclass(frozen=True)
class Engine:
    """What runs the model in the page.

    Args:
        name: Its name and version, for people.
        files: Its files and the model, by their paths in the site.
        reason: Why the page's own engine is not the one; empty if it is, or was not asked for.
    """

    name: str
    files: dict[str, bytes]
    reason: str = ""


def choose_engine(
    model: onnx.ModelProto, what: str, engine: str, archive: str | os.PathLike[str] | None
) -> Engine:
    """The engine for a model, and the model in its format.

    Args:
        model: The ONNX graph, from an image to probabilities.
        what: How errors call it.
        engine: One of `ENGINES`; `auto` for the page's own where it can run the model.
        archive: The package of onnxruntime-web; None to let npm download it.

    Raises:
        OptionError: An unknown engine, or an archive for the page's own.
        UnsupportedOp: The page's own engine was asked for and lacks an operator.
        UnsupportedModelError: The model cannot run in the browser for another reason.
        AppError: onnxruntime-web cannot be downloaded, or is not the expected version.
    """
    if engine not in ENGINES:
        raise OptionError(f"unknown engine {engine!r}: {did_you_mean(engine, ENGINES)}")
    if engine == "pocketlens" and archive is not None:
        raise OptionError("the engine pocketlens has no --engine-files; remove one of the two")
    _check_ends(model, what)
    if engine == "onnxruntime":
        return _onnxruntime(model, archive)
    if engine == "pocketlens":
        return _own(model, what)
    try:
        return _own(model, "the model")  # the reason is in the site, which has no local paths
    except UnsupportedModelError as error:
        reason = str(error)
    try:
        return _onnxruntime(model, archive, reason)
    except AppError as error:
        raise AppError(f"{what}: {reason}; the other engine: {error}") from error


def _own(model: onnx.ModelProto, what: str) -> Engine:
    from pocketlens.web.kernels import kernels
    from pocketlens.web.network import network_file

    files = {"kernels.wasm": kernels(), "model.bin": network_file(model, what)}
    return Engine("pocketlens", _page("engine") | files)


def _onnxruntime(
    model: onnx.ModelProto, archive: str | os.PathLike[str] | None, reason: str = ""
) -> Engine:
    from pocketlens.web.onnx_file import onnx_file
    from pocketlens.web.ort_package import PACKAGE, engine_files

    files = {f"engine/{name}": content for name, content in engine_files(archive).items()}
    files |= {"model.onnx": onnx_file(model)}
    return Engine(PACKAGE.replace("@", " "), _page("onnxruntime") | files, reason)


def _page(folder: str) -> dict[str, bytes]:
    """The page's files for an engine; in every site they are in `engine/`."""
    return {f"engine/{path.name}": path.read_bytes() for path in sorted((PAGE / folder).iterdir())}


def _check_ends(model: onnx.ModelProto, what: str) -> None:
    """One image of a fixed size in, and probabilities out."""
    ends = [*model.graph.input, *model.graph.output]
    if len(model.graph.input) != 1 or len(model.graph.output) != 1:
        raise UnsupportedModelError(
            f"{what} cannot run in the browser: it has several inputs, outputs or states "
            f"({', '.join(each.name for each in ends)}); expected one image in and "
            "probabilities out"
        )
    (given,) = model.graph.input
    if not all(dim.dim_value for dim in given.type.tensor_type.shape.dim):
        raise UnsupportedModelError(
            f"{what} cannot run in the browser: the size of its image is known only at run time; "
            "expected a fixed size"
        )
