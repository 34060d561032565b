"""Which engine a site has, and the package of onnxruntime-web."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from command_line import output_of, run_command
from pocketlens.errors import AppError, OptionError, UnsupportedModelError, UnsupportedOp
from pocketlens.web import check_site, create_web, ort_package
from pocketlens.web.engines import choose_engine
from pocketlens.web.onnx_file import onnx_file
from pocketlens.web.ort_package import ARCHIVE, FILES, engine_files, unpacked
from preview.server import quarters_file
from web.archives import CONTENT, archive, expected_archive
from web.graphs import floats, network, weights

BY_HAND = "to get it by hand, run this on a computer with npm: npm pack onnxruntime-web@"

OWN: Any = network(("Relu", ["x"], {}))
FOREIGN: Any = network(("Hardmax", ["x"], {}))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package that is taken for that of onnxruntime-web."""
    return expected_archive(monkeypatch, tmp_path / ARCHIVE)


def test_the_own_engine_where_it_can(package: Path) -> None:
    own = choose_engine(OWN, "Net", "auto", package)
    assert (own.name, own.reason) == ("pocketlens", "")
    assert {"model.bin", "kernels.wasm", "engine/run.js", "engine/network.js"} <= own.files.keys()
    asked = choose_engine(OWN, "Net", "onnxruntime", package)
    assert (asked.name, asked.reason) == (f"onnxruntime-web {ort_package.VERSION}", "")
    assert asked.files.keys() == {
        "model.onnx", "engine/run.js", "engine/LICENSE", "engine/ort.js", "engine/ort.wasm",
    }  # fmt: skip
    for name, path in FILES.items():
        assert asked.files[f"engine/{name}"] == CONTENT[path]
    fallback = choose_engine(FOREIGN, "/home/me/Net", "auto", package)
    assert fallback.files.keys() == asked.files.keys()
    assert "the page's engine has no Hardmax" in fallback.reason and "/home" not in fallback.reason
    with pytest.raises(UnsupportedOp, match="^Net cannot run in the browser: .* no Hardmax; it"):
        choose_engine(FOREIGN, "Net", "pocketlens", None)


def test_invalid_engines(package: Path) -> None:
    with pytest.raises(
        OptionError, match=r"unknown engine 'onnxruntim': did you mean 'onnxruntime'\?"
    ):
        choose_engine(OWN, "Net", "onnxruntim", None)
    with pytest.raises(OptionError, match="the engine pocketlens has no --engine-files"):
        choose_engine(OWN, "Net", "pocketlens", package)
    open_model = onnx.ModelProto()
    open_model.CopyFrom(OWN)
    open_model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(UnsupportedModelError, match="the size of its image is known only at run"):
        choose_engine(open_model, "Net", "onnxruntime", package)


def test_site_with_onnxruntime(package: Path, tmp_path: Path) -> None:
    file, folder = quarters_file(tmp_path / "Quarters.mlmodel"), tmp_path / "site"
    words = ("web", file, "-o", folder, "--engine", "onnxruntime", "--engine-files", package)
    assert f"engine onnxruntime-web {ort_package.VERSION})" in output_of(*words)
    assert check_site(folder) == []
    files = json.loads((folder / "site.json").read_text())["files"]
    assert {"engine/ort.js", "engine/ort.wasm", "engine/LICENSE", "model.onnx"} <= files.keys()
    assert not {"kernels.wasm", "model.bin", "engine/network.js"} & files.keys()
    assert "engine/ort.wasm" in (folder / "sw.js").read_text()  # also offline
    assert "Microsoft" in (folder / "engine" / "LICENSE").read_text()
    found = json.loads(output_of(*words, "--force", "--json"))
    assert found["engine"].startswith("onnxruntime-web") and found["reason"] is None
    assert "webgpu" not in "".join(path.read_text().lower() for path in folder.rglob("*.js"))
    # Back to the own engine: no file of the other one is left.
    create_web(file, folder, force=True)
    assert check_site(folder) == [] and not (folder / "engine" / "ort.wasm").exists()
    status, _, err = run_command("web", "--check", folder, "--engine", "auto")
    assert status == 2 and "--engine" in err


def test_weights_for_onnxruntime_are_small_and_the_same() -> None:
    half = weights(40, 11).astype(np.float16).astype(np.float32)
    full = weights(40, 11)
    model = network(
        ("Flatten", ["x"], {}),
        ("Reshape", [0, np.array([27, 11])], {}),
        ("Gemm", [1, half, floats(0.1)], {"transB": 1}),
        ("Gemm", [2, full], {}),
    )
    written = onnx_file(model)
    assert len(model.SerializeToString()) - len(written) == pytest.approx(2 * half.size, abs=200)
    x = weights(1, 3, 9, 11)
    for given in (model.SerializeToString(), written):
        (found,) = onnxruntime.InferenceSession(given).run(None, {"x": x})
        rows = x.reshape(27, 11) @ half.T + np.float32(0.1)
        np.testing.assert_allclose(found, rows @ full, atol=1e-4)


def test_ends_for_onnxruntime_are_float32() -> None:
    sixteen = onnx.TensorProto.FLOAT16
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["x/wide"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Add", ["x/wide", "one"], ["y/wide"]),
            helper.make_node("Cast", ["y/wide"], ["y"], to=sixteen),
        ],
        "half",
        [helper.make_tensor_value_info("x", sixteen, [3])],
        [helper.make_tensor_value_info("y", sixteen, [3])],
        [numpy_helper.from_array(np.ones(3, np.float32), "one")],
    )
    model = helper.make_model(graph, opset_imports=OWN.opset_import, ir_version=10)
    session = onnxruntime.InferenceSession(onnx_file(model))
    (given,) = session.get_inputs()
    (found,) = session.run(None, {given.name: floats(0.1, 2, 1000)})
    assert found.dtype == np.float32
    assert found.tolist() == (floats(0.1, 2, 1000).astype(np.float16) + np.float16(1)).tolist()


def test_archive_that_is_not_the_package(package: Path, tmp_path: Path) -> None:
    assert engine_files(package).keys() == FILES.keys()
    content = package.read_bytes()
    for name, changed in (("cut.tgz", content[:-20]), ("other.tgz", archive({"a": b"b"}))):
        (tmp_path / name).write_bytes(changed)
        with pytest.raises(
            AppError, match=f"{name} is not the archive of onnxruntime-web@"
        ) as told:
            engine_files(tmp_path / name)
        assert BY_HAND in str(told.value) and f"--engine-files {ARCHIVE}" in str(told.value)
    with pytest.raises(AppError, match="none.tgz cannot be read: No such file or directory"):
        engine_files(tmp_path / "none.tgz")
    with pytest.raises(AppError, match="cannot be read"):
        engine_files(tmp_path)


def test_only_the_expected_files_of_an_archive_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = {"../outside": b"x", "/tmp/outside": b"x", "package/../../outside": b"x", **CONTENT}
    monkeypatch.chdir(tmp_path)
    assert unpacked(archive(hostile), "it") == {name: CONTENT[path] for name, path in FILES.items()}
    assert list(tmp_path.iterdir()) == []
    first = FILES["ort.js"]
    rest = {path: data for path, data in CONTENT.items() if path != first}
    with pytest.raises(AppError, match="ort.wasm.bundle.min.mjs is no file of at most"):
        unpacked(archive(rest, links={first: "/etc/hostname"}), "it")
    with pytest.raises(AppError, match="it lacks package/dist/ort.wasm.bundle.min.mjs"):
        unpacked(archive(rest), "it")
    with pytest.raises(AppError, match="it (is damaged|lacks)"):
        unpacked(archive()[:-40], "it")
    with pytest.raises(AppError, match="it is damaged"):
        unpacked(b"no archive", "it")


@pytest.mark.parametrize("limit", ["MAX_ARCHIVE", "MAX_FILE", "MAX_UNPACKED"])
def test_archives_that_are_too_large(
    package: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(ort_package, limit, 10)
    with pytest.raises(AppError, match="more than 10 bytes|of at most 10|larger than expected"):
        engine_files(package)


def npm(folder: Path, script: str, patch: pytest.MonkeyPatch) -> None:
    """Only this npm is on the PATH."""
    folder.mkdir()
    path = folder / "npm"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    patch.setenv("PATH", str(folder))


@pytest.mark.skipif(os.name == "nt", reason="npm is a shell script here")
def test_npm_downloads_the_package_once(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POCKETLENS_CACHE", str(tmp_path / "cache"))
    calls = tmp_path / "calls"
    npm(tmp_path / "bin", f'echo "$@" >> {calls}; /bin/cp {package} .', monkeypatch)
    for _ in range(2):
        assert engine_files().keys() == FILES.keys()
    cached = tmp_path / "cache" / ARCHIVE
    cached.write_bytes(cached.read_bytes()[:-1])  # damaged: downloaded again
    assert engine_files().keys() == FILES.keys()
    call = f"pack onnxruntime-web@{ort_package.VERSION} --silent --ignore-scripts\n"
    assert calls.read_text() == 2 * call


@pytest.mark.skipif(os.name == "nt", reason="npm is a shell script here")
@pytest.mark.parametrize(
    ("script", "text"),
    [
        (None, "comes from npm, which is not here; "),
        ("echo 'code ENOTFOUND' >&2; exit 1", "npm cannot download .*: code ENOTFOUND; "),
        ("exit 0", "tgz cannot be read: No such file or directory; "),
        (f"echo other > {ARCHIVE}", "is not the archive of onnxruntime-web@"),
    ],
)
def test_npm_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, text: str
) -> None:
    monkeypatch.setenv("POCKETLENS_CACHE", str(tmp_path / "cache"))
    if script is None:
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        npm(tmp_path / "bin", script, monkeypatch)
    with pytest.raises(AppError, match=f"Net: .* has no Hardmax; .*{text}") as told:
        choose_engine(FOREIGN, "Net", "auto", None)
    assert BY_HAND in str(told.value)
    assert not (tmp_path / "cache").exists()
