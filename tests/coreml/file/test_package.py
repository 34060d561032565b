"""Opening files: complete ones can be read, damaged or unsafe ones are rejected with an error."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import load
from pocketlens.coreml.file.package import open_model
from pocketlens.coreml.file.proto import generated, repeated
from pocketlens.errors import ModelFileError, PocketlensError, UnsupportedModelError

X = np.array([[1.0, -2.0, 3.0]], np.float32)
WEIGHT = np.arange(12, dtype=np.float16).reshape(4, 3)


def linear_spec(files: Any, offset: int, shape: tuple[int, ...] = (4, 3)) -> Any:
    """`linear` whose weight is float16 in the weights file, cast to float32."""
    spec = files.program_spec(
        "linear", {"x": X.astype(np.float16)}, {"weight": WEIGHT}, [("float16", (1, 4))]
    )
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    value = block.operations[0].attributes["val"]
    value.ClearField("immediateValue")
    value.type.CopyFrom(files.type_message("float16", shape))
    value.blobFileValue.fileName = "@model_path/weights/weight.bin"
    value.blobFileValue.offset = offset
    block.operations[0].outputs[0].type.CopyFrom(value.type)
    return spec


@pytest.fixture
def package(tmp_path: Path, files: Any) -> Path:
    data, (offset,) = files.blob_file(("float16", WEIGHT))
    spec = linear_spec(files, offset)
    path: Path = files.write_package(tmp_path / "net.mlpackage", spec, data)
    return path


def inner(package: Path, name: str) -> Path:
    return package / "Data" / "com.apple.CoreML" / name


def check_rejected(path: Path, *parts: str, error: type[PocketlensError] = ModelFileError) -> None:
    """Loading raises `error`; its message is one line with the path and all `parts` in it."""
    with pytest.raises(error) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(path), *parts):
        assert part in message


def test_weights_come_from_the_file(package: Path) -> None:
    answer = load(package).run({"x": X})["y0"]
    np.testing.assert_array_equal(answer, X.astype(np.float16) @ WEIGHT.T)
    assert answer.dtype == np.float16


def test_specification_inside_a_package(package: Path) -> None:
    """The path of the specification works, too: the weights are found next to it."""
    answer = load(inner(package, "model.mlmodel")).run({"x": X})["y0"]
    np.testing.assert_array_equal(answer, X.astype(np.float16) @ WEIGHT.T)


def test_size_counts_every_file(package: Path) -> None:
    expected = sum(f.stat().st_size for f in package.rglob("*") if f.is_file())
    assert open_model(package).size == expected


def test_missing_file(tmp_path: Path) -> None:
    check_rejected(tmp_path / "none.mlmodel", "does not exist", ".mlpackage or .mlmodel")


def test_folder_without_manifest(tmp_path: Path) -> None:
    check_rejected(tmp_path, "without Manifest.json")


def test_compiled_model(tmp_path: Path) -> None:
    folder = tmp_path / "net.mlmodelc"
    folder.mkdir()
    check_rejected(folder, "compiled", "pass the .mlpackage", error=UnsupportedModelError)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"<html>Not found</html>", "is a web page, not the file itself"),
        (b"\x08\x07", "it contains no model"),
        (b"\xff" * 100, "not a Core ML model"),
    ],
)
def test_not_a_model(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "m.mlmodel"
    path.write_bytes(content)
    check_rejected(path, message)


def test_newer_specification(save: Callable[..., Path], files: Any) -> None:
    spec = files.program_spec("relu", {"x": X}, {}, [("float32", (1, 3))])
    spec.specificationVersion = 99
    check_rejected(
        save(spec), "version 99", "newest supported version is 10", error=UnsupportedModelError
    )


@pytest.mark.parametrize(
    "path",
    [
        "../../outside",
        "/etc/passwd",
        "com.apple.CoreML/../../../outside",
        "com.apple.CoreML//model.mlmodel",
        "./com.apple.CoreML/model.mlmodel",
        "..\\..\\outside",
        "C:/outside",
        "com.apple.CoreML/\0",
    ],
)
def test_manifest_path_outside_the_package(package: Path, path: str) -> None:
    (package.parent / "outside").write_bytes(b"secret")
    manifest = json.loads((package / "Manifest.json").read_text())
    manifest["itemInfoEntries"]["M"]["path"] = path
    (package / "Manifest.json").write_text(json.dumps(manifest))
    check_rejected(package, "leads out of the package")


@pytest.mark.parametrize("item", ["M", "W"])
def test_manifest_path_of_300_letters(package: Path, item: str) -> None:
    manifest = json.loads((package / "Manifest.json").read_text())
    manifest["itemInfoEntries"][item]["path"] = "x" * 300
    (package / "Manifest.json").write_text(json.dumps(manifest))
    check_rejected(package, "x" * 300)


@pytest.mark.parametrize("name", ["model.mlmodel", "weights"])
def test_symbolic_links_are_rejected(package: Path, name: str) -> None:
    outside = package.parent / "outside"
    shutil.move(inner(package, name), outside)
    inner(package, name).symlink_to(outside)
    check_rejected(package, "is a symbolic link")


def test_weights_file_is_a_symbolic_link(package: Path) -> None:
    weight = inner(package, "weights") / "weight.bin"
    shutil.move(weight, package.parent / "w")
    weight.symlink_to(package.parent / "w")
    check_rejected(package, "weight.bin is a symbolic link")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(rootModelIdentifier="X"), "the root model in Manifest.json is 'X'"),
        (lambda m: m.update(itemInfoEntries={}), "lists no items"),
        (lambda m: m.update(itemInfoEntries=[1]), "lists no items"),
        (lambda m: m["itemInfoEntries"].update(M=3), "no path for its item 'M'"),
        (
            lambda m: m["itemInfoEntries"]["W"].update(path="gone"),
            "Data/gone is listed in Manifest.json but missing",
        ),
        (lambda m: m.update(rootModelIdentifier="W"), "weights is a folder"),
    ],
)
def test_invalid_manifest(package: Path, change: Callable[[Any], None], message: str) -> None:
    manifest = json.loads((package / "Manifest.json").read_text())
    change(manifest)
    (package / "Manifest.json").write_text(json.dumps(manifest))
    check_rejected(package, message)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\xff\xfe", "[]", "null"])
def test_manifest_is_not_json(package: Path, text: str) -> None:
    (package / "Manifest.json").write_text(text, encoding="latin-1")
    check_rejected(package, "Manifest.json")


def test_manifest_too_large(package: Path) -> None:
    with (package / "Manifest.json").open("ab") as file:
        file.truncate(5_000_000)
    check_rejected(package, "5000000 bytes", "expected at most")


def test_weights_missing(package: Path) -> None:
    (inner(package, "weights") / "weight.bin").unlink()
    check_rejected(package, "weight.bin", "No such file")


@pytest.mark.parametrize("length", [0, 10, 63, 64, 100, 127, 128, 140, 151])
def test_truncated_weights(package: Path, length: int) -> None:
    weight = inner(package, "weights") / "weight.bin"
    weight.write_bytes(weight.read_bytes()[:length])
    check_rejected(package, "weight", "bytes")


@pytest.mark.parametrize(
    ("at", "form", "value", "message"),
    [
        (4, "<I", 1, "has version 1; expected 2"),
        (64, "<I", 7, "expected 0xDEADBEEF, received 0x00000007"),
        (68, "<I", 2, "contains float32; the model declares float16"),
        (72, "<Q", 23, "has 23 bytes; expected 24"),
        (72, "<Q", 2**63, "expected 24"),
        (80, "<Q", 2**63, "outside the file"),
        (80, "<Q", 0, "outside the file"),
        (80, "<Q", 180, "outside the file"),
    ],
)
def test_blob_header(package: Path, at: int, form: str, value: int, message: str) -> None:
    weight = inner(package, "weights") / "weight.bin"
    data = bytearray(weight.read_bytes())
    struct.pack_into(form, data, at, value)
    weight.write_bytes(data)
    check_rejected(package, "the weight at byte 64" if at > 4 else "weight.bin", message)


def test_unknown_blob_type(package: Path) -> None:
    weight = inner(package, "weights") / "weight.bin"
    data = bytearray(weight.read_bytes())
    struct.pack_into("<I", data, 68, 16)
    weight.write_bytes(data)
    check_rejected(package, "element type number 16", error=UnsupportedModelError)


@pytest.mark.parametrize("offset", [0, 1, 63, 10_000, 2**40, 2**63])
def test_offset_outside_the_weights_file(tmp_path: Path, files: Any, offset: int) -> None:
    data, _ = files.blob_file(("float16", WEIGHT))
    path = files.write_package(tmp_path / "p.mlpackage", linear_spec(files, offset), data)
    check_rejected(path, f"byte {offset}", "outside the file")


def test_declared_larger_than_memory(tmp_path: Path, files: Any) -> None:
    """A shape of 10¹² elements is rejected before any memory of that size is allocated."""
    data, (offset,) = files.blob_file(("float16", WEIGHT))
    spec = linear_spec(files, offset, (10**6, 10**6))
    check_rejected(files.write_package(tmp_path / "p.mlpackage", spec, data), "at most")


@pytest.mark.parametrize("name", ["weights/weight.bin", "@model_path/../weight.bin", "/etc/passwd"])
def test_weights_file_outside_the_package(tmp_path: Path, files: Any, name: str) -> None:
    data, (offset,) = files.blob_file(("float16", WEIGHT))
    spec = linear_spec(files, offset)
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    block.operations[0].attributes["val"].blobFileValue.fileName = name
    path = files.write_package(tmp_path / "p.mlpackage", spec, data)
    with pytest.raises(ModelFileError, match="begins with @model_path/|leads out of the package"):
        load(path)


def test_truncated_at_every_length(package: Path) -> None:
    """A truncated specification always raises one of our errors and never returns numbers."""
    spec = inner(package, "model.mlmodel")
    whole = spec.read_bytes()
    for length in range(0, len(whole), 3):
        spec.write_bytes(whole[:length])
        with pytest.raises(PocketlensError) as caught:
            load(package).run({"x": X})
        assert str(package) in str(caught.value)


@pytest.mark.parametrize("seed", range(4))
def test_random_damage(tmp_path: Path, files: Any, seed: int) -> None:
    """With random bytes changed, a model still runs or raises one of our errors."""
    random = np.random.default_rng(seed)
    layer = files.network_spec(
        "convolution",
        [np.zeros((1, 2, 5, 5), np.float32)],
        {"outputChannels": 3, "kernelChannels": 2, "weights": np.ones((3, 2, 3, 3), np.float32)},
        [(1, 3, 3, 3)],
    )
    data, (offset,) = files.blob_file(("float16", WEIGHT))
    package = files.write_package(tmp_path / "p.mlpackage", linear_spec(files, offset), data)
    program = inner(package, "model.mlmodel").read_bytes()
    feeds = [{"x0": np.zeros((1, 2, 5, 5), np.float32)}, {"x": X}]
    paths = [tmp_path / "m.mlmodel", package]
    for whole, feed, path in zip([layer.SerializeToString(), program], feeds, paths, strict=True):
        target = path if path.suffix == ".mlmodel" else inner(path, "model.mlmodel")
        for _ in range(60):
            damaged = bytearray(whole)
            for _ in range(int(random.integers(1, 4))):
                damaged[random.integers(len(damaged))] = random.integers(256)
            target.write_bytes(damaged)
            try:
                load(path).run(feed)
            except PocketlensError as error:
                assert str(error)  # noqa: PT017 (both outcomes are right; other exceptions are not)


def test_message_classes_are_those_of_coremltools() -> None:
    """A real `import coremltools` afterward sees the same classes."""
    code = """
from pocketlens.coreml.file.proto import generated
ours = generated("Model_pb2").Model
import sys
assert not any(name.startswith("coremltools") for name in sys.modules)
from coremltools.proto import Model_pb2
assert Model_pb2.Model is ours
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True)
    assert (
        generated("MIL_pb2").Program.DESCRIPTOR.full_name == "CoreML.Specification.MILSpec.Program"
    )


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (SimpleNamespace(is_repeated=True), True),  # protobuf 7
        (SimpleNamespace(is_repeated=False), False),
        (SimpleNamespace(label=3, LABEL_REPEATED=3), True),  # protobuf 4
        (SimpleNamespace(label=1, LABEL_REPEATED=3), False),
        (generated("FeatureTypes_pb2").ArrayFeatureType.DESCRIPTOR.fields_by_name["shape"], True),
    ],
)
def test_repeated_fields_in_every_protobuf(field: Any, expected: bool) -> None:
    assert repeated(field) is expected


def test_running_imports_neither_coremltools_nor_torch(package: Path) -> None:
    code = f"""
import sys
from pocketlens.coreml import load
load({str(package)!r}).run({{"x": [[1.0, 2.0, 3.0]]}})
assert not {{"coremltools", "torch", "matplotlib", "httpx"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
