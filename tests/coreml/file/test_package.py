"""Reading files: what is whole is read, what is damaged or unsafe is refused in plain words."""

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
    return files.write_package(tmp_path / "net.mlpackage", linear_spec(files, offset), data)


def inner(package: Path, name: str) -> Path:
    return package / "Data" / "com.apple.CoreML" / name


def refused(path: Path, *words: str, error: type[PocketlensError] = ModelFileError) -> str:
    with pytest.raises(error) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message
    return message


def test_weights_come_from_the_file(package: Path) -> None:
    answer = load(package).run({"x": X})["y0"]
    np.testing.assert_array_equal(answer, X.astype(np.float16) @ WEIGHT.T)
    assert answer.dtype == np.float16


def test_specification_inside_a_package(package: Path) -> None:
    """The specification alone, given by its own path, finds the weights beside it."""
    answer = load(inner(package, "model.mlmodel")).run({"x": X})["y0"]
    np.testing.assert_array_equal(answer, X.astype(np.float16) @ WEIGHT.T)


def test_size_counts_every_file(package: Path) -> None:
    expected = sum(f.stat().st_size for f in package.rglob("*") if f.is_file())
    assert open_model(package).size == expected


def test_missing(tmp_path: Path) -> None:
    refused(tmp_path / "none.mlmodel", "does not exist", ".mlpackage or .mlmodel")


def test_folder_without_manifest(tmp_path: Path) -> None:
    refused(tmp_path, "without Manifest.json")


def test_compiled(tmp_path: Path) -> None:
    folder = tmp_path / "net.mlmodelc"
    folder.mkdir()
    refused(folder, "compiled", "give the .mlpackage", error=UnsupportedModelError)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"<html>Not found</html>", "not a Core ML model"),
        (b"\x08\x07", "no model"),
        (b"\xff" * 100, "not a Core ML model"),
    ],
)
def test_not_a_model(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "m.mlmodel"
    path.write_bytes(content)
    refused(path, words)


def test_newer_specification(save: Callable[..., Path], files: Any) -> None:
    spec = files.program_spec("relu", {"x": X}, {}, [("float32", (1, 3))])
    spec.specificationVersion = 99
    refused(save(spec), "version 99", "newest known here is 10", error=UnsupportedModelError)


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
def test_manifest_leads_out(package: Path, path: str) -> None:
    (package.parent / "outside").write_bytes(b"secret")
    manifest = json.loads((package / "Manifest.json").read_text())
    manifest["itemInfoEntries"]["M"]["path"] = path
    (package / "Manifest.json").write_text(json.dumps(manifest))
    refused(package, "leads out of the package")


@pytest.mark.parametrize("name", ["model.mlmodel", "weights"])
def test_links_are_refused(package: Path, name: str) -> None:
    outside = package.parent / "outside"
    shutil.move(inner(package, name), outside)
    inner(package, name).symlink_to(outside)
    refused(package, "is a link")


def test_weights_file_that_is_a_link(package: Path) -> None:
    weight = inner(package, "weights") / "weight.bin"
    shutil.move(weight, package.parent / "w")
    weight.symlink_to(package.parent / "w")
    refused(package, "weight.bin is a link")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(rootModelIdentifier="X"), "names 'X' as its root model"),
        (lambda m: m.update(itemInfoEntries={}), "lists no items"),
        (lambda m: m.update(itemInfoEntries=[1]), "lists no items"),
        (lambda m: m["itemInfoEntries"].update(M=3), "no path for its item 'M'"),
        (lambda m: m["itemInfoEntries"]["W"].update(path="gone"), "Data/gone is missing"),
        (lambda m: m.update(rootModelIdentifier="W"), "weights is not a file"),
    ],
)
def test_manifest_faults(package: Path, change: Callable[[Any], None], words: str) -> None:
    manifest = json.loads((package / "Manifest.json").read_text())
    change(manifest)
    (package / "Manifest.json").write_text(json.dumps(manifest))
    refused(package, words)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\xff\xfe", "[]", "null"])
def test_manifest_is_no_json(package: Path, text: str) -> None:
    (package / "Manifest.json").write_text(text, encoding="latin-1")
    refused(package, "Manifest.json")


def test_manifest_too_large(package: Path) -> None:
    with (package / "Manifest.json").open("ab") as file:
        file.truncate(5_000_000)
    refused(package, "5000000 bytes", "expected at most")


def test_weights_missing(package: Path) -> None:
    (inner(package, "weights") / "weight.bin").unlink()
    refused(package, "weight.bin", "No such file")


@pytest.mark.parametrize("length", [0, 10, 63, 64, 100, 127, 128, 140, 151])
def test_weights_cut_short(package: Path, length: int) -> None:
    weight = inner(package, "weights") / "weight.bin"
    weight.write_bytes(weight.read_bytes()[:length])
    refused(package, "weight", "bytes")


@pytest.mark.parametrize(
    ("at", "form", "value", "words"),
    [
        (4, "<I", 1, "is of version 1; expected 2"),
        (64, "<I", 7, "expected 0xDEADBEEF, received 0x00000007"),
        (68, "<I", 2, "holds float32; the model declares float16"),
        (72, "<Q", 23, "has 23 bytes; expected 24"),
        (72, "<Q", 2**63, "expected 24"),
        (80, "<Q", 2**63, "outside the file"),
        (80, "<Q", 0, "outside the file"),
        (80, "<Q", 180, "outside the file"),
    ],
)
def test_blob_header(package: Path, at: int, form: str, value: int, words: str) -> None:
    weight = inner(package, "weights") / "weight.bin"
    data = bytearray(weight.read_bytes())
    struct.pack_into(form, data, at, value)
    weight.write_bytes(data)
    refused(package, "the weight at byte 64" if at > 4 else "weight.bin", words)


def test_unknown_blob_type(package: Path) -> None:
    weight = inner(package, "weights") / "weight.bin"
    data = bytearray(weight.read_bytes())
    struct.pack_into("<I", data, 68, 16)
    weight.write_bytes(data)
    refused(package, "element type number 16", error=UnsupportedModelError)


@pytest.mark.parametrize("offset", [0, 1, 63, 10_000, 2**40, 2**63])
def test_offset_outside(tmp_path: Path, files: Any, offset: int) -> None:
    data, _ = files.blob_file(("float16", WEIGHT))
    path = files.write_package(tmp_path / "p.mlpackage", linear_spec(files, offset), data)
    refused(path, f"byte {offset}", "outside the file")


def test_declared_larger_than_memory(tmp_path: Path, files: Any) -> None:
    """A shape of 10¹² elements is refused before anything of that size is made."""
    data, (offset,) = files.blob_file(("float16", WEIGHT))
    spec = linear_spec(files, offset, (10**6, 10**6))
    refused(files.write_package(tmp_path / "p.mlpackage", spec, data), "at most")


@pytest.mark.parametrize("name", ["weights/weight.bin", "@model_path/../weight.bin", "/etc/passwd"])
def test_weights_elsewhere(tmp_path: Path, files: Any, name: str) -> None:
    data, (offset,) = files.blob_file(("float16", WEIGHT))
    spec = linear_spec(files, offset)
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    block.operations[0].attributes["val"].blobFileValue.fileName = name
    path = files.write_package(tmp_path / "p.mlpackage", spec, data)
    with pytest.raises(ModelFileError, match="begins with @model_path/|leads out of the package"):
        load(path)


def test_cut_at_every_length(package: Path) -> None:
    """However much is missing, the answer is an error of ours and never a wrong number."""
    spec = inner(package, "model.mlmodel")
    whole = spec.read_bytes()
    for length in range(0, len(whole), 3):
        spec.write_bytes(whole[:length])
        with pytest.raises(PocketlensError) as caught:
            load(package).run({"x": X})
        assert str(package) in str(caught.value)


@pytest.mark.parametrize("seed", range(4))
def test_random_damage(tmp_path: Path, files: Any, seed: int) -> None:
    """Bytes changed at random: an error of ours, or a model that still runs, and nothing else."""
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
                assert str(error)  # noqa: PT017 (either outcome is right, no other exception is)


def test_classes_are_those_of_coremltools() -> None:
    """A real `import coremltools`, afterward, sees the very classes that were loaded here."""
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
    ("field", "several"),
    [
        (SimpleNamespace(is_repeated=True), True),  # as protobuf 7 has it
        (SimpleNamespace(is_repeated=False), False),
        (SimpleNamespace(label=3, LABEL_REPEATED=3), True),  # as protobuf 4 has it
        (SimpleNamespace(label=1, LABEL_REPEATED=3), False),
        (generated("FeatureTypes_pb2").ArrayFeatureType.DESCRIPTOR.fields_by_name["shape"], True),
    ],
)
def test_fields_of_several_values_are_known_in_every_protobuf(field: Any, several: bool) -> None:
    assert repeated(field) is several


def test_running_imports_neither_coremltools_nor_torch(package: Path) -> None:
    code = f"""
import sys
from pocketlens.coreml import load
load({str(package)!r}).run({{"x": [[1.0, 2.0, 3.0]]}})
assert not {{"coremltools", "torch", "matplotlib", "httpx"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
