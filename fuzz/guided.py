"""The coverage-guided fuzzer (atheris, libFuzzer underneath) over the readers of untrusted bytes.

    python fuzz/guided.py model    fuzz/corpus/model    -max_total_time=300
    python fuzz/guided.py weights  fuzz/corpus/weights  -max_total_time=120
    python fuzz/guided.py manifest fuzz/corpus/manifest -max_total_time=60

`model` uses the bytes as a `.mlmodel`, loads and runs it; bytes that are a valid message are
damaged as a message. `weights` uses four bytes as an offset, one as an element type, and the rest
as `weight.bin`. `manifest` uses the bytes as `Manifest.json`. An exception that is not one of our
errors stops the run, and libFuzzer writes the bytes to a file.

Further options are libFuzzer's own. It writes inputs that reach new code to the first folder, so
pass another folder before the committed corpus to keep the corpus small.
"""

from __future__ import annotations

import random
import struct
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

try:
    import atheris
except ImportError:
    sys.exit("fuzz/guided.py needs atheris; install it with: pip install -e '.[fuzz]'")

with atheris.instrument_imports(include=["pocketlens.coreml", "pocketlens.files"]):
    # Modules that are imported on first use would not be instrumented, so import them here.
    for name in (
        "ops.network",
        "ops.program",
        "runtime.sequences",
        "classic.model",
        "classic.pipeline",
        "file.inspection",
    ):
        import_module(f"pocketlens.coreml.{name}")
    from pocketlens.coreml.file.package import open_model
    from pocketlens.coreml.file.proto import generated
    from pocketlens.coreml.file.values import DATA_TYPES
    from pocketlens.coreml.ops.registry import ops
    from pocketlens.errors import PocketlensError
    from trial import lower_limits, trial

    ops()

from google.protobuf.message import DecodeError

from mutator import damage_spec

LARGEST = 16_384
FOLDER = Path(tempfile.mkdtemp(prefix="pocketlens-fuzz-"))
OUTSIDE = FOLDER / "outside"


def model(data: bytes) -> None:
    path = FOLDER / "m.mlmodel"
    path.write_bytes(data)
    trial(path, random.Random(len(data)))


def weights(data: bytes) -> None:
    if len(data) < 5:
        return
    offset, number = struct.unpack_from("<IB", data)
    names = [name for name, _ in DATA_TYPES.values()]
    kind = names[number % len(names)]
    file = _package() / "Data" / "weights"
    file.mkdir(exist_ok=True)
    (file / "weight.bin").write_bytes(data[5:])
    opened = open_model(_package())
    try:
        array = opened.blob("@model_path/weights/weight.bin", offset, kind, (8,))
    except PocketlensError:
        return
    assert array.shape == (8,)
    array.tobytes()  # reads every byte


def manifest(data: bytes) -> None:
    package = _package()
    (package / "Manifest.json").write_bytes(data)
    try:
        opened = open_model(package)
    except PocketlensError:
        return
    assert package.resolve() in (opened.folder, *opened.folder.parents), opened.folder


def _package() -> Path:
    """A package with a model, links that lead out of it, and a file outside that must stay
    unread."""
    package = FOLDER / "m.mlpackage"
    if not package.exists():
        (package / "Data" / "inner").mkdir(parents=True)
        spec = generated("Model_pb2").Model(specificationVersion=1)
        spec.identity.SetInParent()
        for path in (package / "Data" / "m.mlmodel", OUTSIDE):
            path.write_bytes(spec.SerializeToString())
        (package / "Data" / "link").symlink_to(OUTSIDE)
        (package / "Data" / "inner" / "up").symlink_to(FOLDER)
        (package / "Manifest.json").write_text(
            '{"rootModelIdentifier": "M", "itemInfoEntries": {"M": {"path": "m.mlmodel"}}}'
        )
    return package


def mutate_model(data: bytes, limit: int, seed: int) -> bytes:
    """Two times in three, damage a valid message as a message; otherwise mutate the bytes."""
    rng = random.Random(seed)
    if rng.random() < 0.67:
        try:
            spec = generated("Model_pb2").Model.FromString(data)
        except DecodeError:
            return bytes(atheris.Mutate(data, limit))
        damage_spec(spec, rng)
        damaged: bytes = spec.SerializeToString()
        if 0 < len(damaged) <= limit:
            return damaged
    return bytes(atheris.Mutate(data, limit))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "model": model,
    "weights": weights,
    "manifest": manifest,
}


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"expected one of: {', '.join(TARGETS)}\n\n{__doc__}")
    name = sys.argv.pop(1)
    lower_limits()
    options: dict[str, Any] = {"custom_mutator": mutate_model} if name == "model" else {}
    limits = [f"-max_len={LARGEST}", "-timeout=20", "-rss_limit_mb=3000", "-malloc_limit_mb=1500"]
    atheris.Setup([sys.argv[0], *limits, *sys.argv[1:]], TARGETS[name], **options)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
