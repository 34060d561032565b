"""Small files and requests that ask for much: how long they take, and how much memory.

    python benchmarks/attacks.py                 # about a minute
    python benchmarks/attacks.py --one palettes  # one of them, in this process

Each attack runs in a process of its own that may allocate 3 GB more than it has after the imports.
The megabytes are what it takes beyond them, with the processes that decode images. The attacks are
built by helpers of the tests.

Claims: none takes more than 20 seconds or 700 MB, and each ends with the expected answer.
"""

# ruff: noqa: E402, I001 - the helpers of the tests are imported after `sys.path` is set

from __future__ import annotations

import argparse
import json
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

TESTS = Path(__file__).parents[1] / "tests"
sys.path += [str(TESTS), str(TESTS / "preview")]

from coreml.conftest import Files, classic_spec
from coreml.file.test_budget import compressed
from coreml.graph.test_linear import nested_loops
from image_bombs import jpeg_with_scans, png
from measure import write
from pocketlens.coreml import load
from pocketlens.coreml.file.proto import generated
from pocketlens.errors import ImageError, ModelFileError
from pocketlens.image import open_image
from pocketlens.preview.decoders import Decoders
from server import AUTHORIZATION, Quarters, serving

MEMORY = 3 << 30
MOST_SECONDS, MOST_MEGABYTES = 20, 700


def scans(folder: Path) -> str:
    """A progressive JPEG of 1,000 scans."""
    path = folder / "scans.jpg"
    path.write_bytes(jpeg_with_scans(1000, 1000, 1000))
    return outcome(open_image, path)


def corrections(_: Path) -> str:
    """Twelve pictures of 29 million pixels at once, as `/api/corrections` decodes them."""
    decoders, picture = Decoders(), png(width=5400, height=5400)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: outcome(decoders.to_png, picture), range(12)))
    decoders.close()
    return " or ".join(sorted(set(answers)))


def headers(_: Path) -> str:
    """60 MB of header lines in one request; the system's buffers take some of it."""
    line, sent = b"X-Line: " + b"y" * 100 + b"\r\n", 0
    with serving(Quarters()) as server, socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(f"GET / HTTP/1.1\r\nHost: x\r\n{AUTHORIZATION}\r\n".encode())
        try:
            while sent < 60_000_000:
                raw.sendall(line * 100)
                sent += 100 * len(line)
        except ConnectionError:
            return "dropped"
    return "taken"


def names(folder: Path) -> str:
    """20,000 constants without names."""
    spec = Files.program_spec("relu", {"x": np.zeros(1, "f4")}, {}, [("float32", (1,))])
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    for number in range(20_000):
        made = block.operations.add(type="const")
        made.outputs.add(name=f"c{number}").type.CopyFrom(Files.type_message("float32", (1,)))
        made.attributes["val"].CopyFrom(Files.value_message(np.full(1, number, np.float32)))
    return loaded(saved(folder, spec))


def loops(folder: Path) -> str:
    """14 nested loops, each in the condition of another."""
    return loaded(saved(folder, nested_loops(Files, 14, 0)))


def palettes(folder: Path) -> str:
    """Three palettes of one bit that share 64 MB of the weights file: 6 GB of float32."""
    return loaded(compressed(Files, folder, 3, 2**29))


def weights(folder: Path) -> str:
    """A weights file of 2 GB that takes no disk: float16 numbers, 4 GB as float32."""
    x, shape = np.zeros((1, 1024), np.float16), (1024, 1_000_000)
    spec = Files.program_spec("matmul", {"x": x}, {}, [("float16", (1, shape[1]))])
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    value = block.operations[0].inputs["y"].arguments.add().value
    value.type.CopyFrom(Files.type_message("float16", shape))
    value.blobFileValue.fileName = "@model_path/weights/weight.bin"
    value.blobFileValue.offset = 64
    content = bytearray(Files.blob_file(("float16", x[:0]))[0][:128])
    size = 2 * shape[0] * shape[1]
    content[72:80] = size.to_bytes(8, "little")
    path = Files.write_package(folder / "m.mlpackage", spec, bytes(content))
    with (path / "Data/com.apple.CoreML/weights/weight.bin").open("ab") as stream:
        stream.truncate(128 + size)
    return loaded(path)


def zeros(folder: Path) -> str:
    """A model of 550 MB that takes no disk: integers of one byte each, of eight in memory."""
    path = saved(folder, classic_spec("oneHotEncoder", {"x": "int64"}, {"y": (1,)}))
    size = 550_000_000
    content = b"\x0a" + varint(size)
    content = b"\x12" + varint(len(content) + size) + content
    number = generated("Model_pb2").Model.DESCRIPTOR.fields_by_name["oneHotEncoder"].number
    content = varint(number << 3 | 2) + varint(len(content) + size) + content
    with path.open("ab") as stream:
        stream.write(content)
        stream.truncate(stream.tell() + size)
    return loaded(path)


def varint(number: int) -> bytes:
    low, high = number & 127, number >> 7
    return bytes([low | 128]) + varint(high) if high else bytes([low])


ATTACKS: dict[str, Callable[[Path], str]] = {
    each.__name__: each
    for each in (scans, corrections, headers, names, loops, palettes, weights, zeros)
}
EXPECTED = {"corrections": "done", "headers": "dropped", "names": "done"}


def saved(folder: Path, spec: Any) -> Path:
    path = folder / "m.mlmodel"
    path.write_bytes(spec.SerializeToString())
    return path


def outcome(work: Callable[[Any], object], given: Any) -> str:
    try:
        work(given)
    except (ImageError, ModelFileError):
        return "refused"
    return "done"


def loaded(path: Path) -> str:
    return outcome(load, path)


def peak() -> float:
    """The largest resident memory so far, of this process and its children, in megabytes."""
    used = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(who).ru_maxrss for who in used) / 1024


def one(name: str) -> dict[str, Any]:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with tempfile.TemporaryDirectory() as folder:
        before, started = peak(), time.perf_counter()
        answer = ATTACKS[name](Path(folder))
        seconds = time.perf_counter() - started
    return {"answer": answer, "seconds": seconds, "megabytes": peak() - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--one", choices=ATTACKS)
    if name := parser.parse_args().one:
        print(json.dumps(one(name)))
        return
    found: dict[str, Any] = {}
    for name, attack in ATTACKS.items():
        words = [sys.executable, __file__, "--one", name]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        found[name] = {"what": attack.__doc__, **json.loads(done.stdout.splitlines()[-1])}
    write(__file__, found)
    for name, each in found.items():
        assert each["answer"] == EXPECTED.get(name, "refused"), name
        assert each["seconds"] <= MOST_SECONDS, name
        assert each["megabytes"] <= MOST_MEGABYTES, name


if __name__ == "__main__":
    main()
