"""Seeded damage to any file or folder: content that is cut, wrong, huge, nested; odd things there.

Nothing here needs permissions, so that it is the same for root.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["damage"]

ODD_TEXTS = (
    "", "\0", "\x1b]52;c;eA==\x07", "\u202e", "a\nb", "é" * 5000, "../../x", "/", "nothing", "{}",
    "1e400", "NaN", "[bold]x[/]", "-1", "\ud800",
)  # fmt: skip
ODD_NUMBERS = (
    0, -1, 1, 2, 2**31, 2**63, -(2**63) - 1, 10**30, 10**400, 1e308, -1e308, 0.5, float("nan"),
    float("inf"), -float("inf"), 1e-320,
)  # fmt: skip
ODD_NAMES = (b"\xff\xfe", b"x\x1b[31m\x07", b"\xe2\x80\xaea", b"n" * 250, b" ", b"a\nb", b"..a")


def damage(sample: Path, rng: random.Random) -> str:
    """Damage one thing in a file or folder; returns what was done."""
    if sample.is_file():
        return _damage_file(sample, rng)
    inside = sorted(path for path in sample.rglob("*") if not path.is_symlink())
    files = [path for path in inside if path.is_file()]
    # Files near the top, such as the JSON files of a run, are more interesting than 300 pictures.
    top = [path for path in files if path.parent == sample]
    if rng.random() < 0.15:
        folders = [sample, *(path for path in inside if path.is_dir())]
        return _damage_folder(rng.choice(folders), rng)
    return _damage_file(rng.choice(top if top and rng.random() < 0.6 else files), rng)


def _damage_file(path: Path, rng: random.Random) -> str:
    structured: list[Callable[[Path, random.Random], None]] = []
    if path.suffix in (".json", ".jsonl"):
        structured = [_json] * 3 + [_nested]
    elif path.suffix == ".toml":
        structured = [_toml] * 4 + [_nested_toml]
    elif path.suffix == ".safetensors":
        structured = [_safetensors] * 4
    elif zipfile.is_zipfile(path):
        structured = [_zip] * 6
    kinds = [_cut, _empty, _noise, _flip, _append, *structured * 2] if structured else CONTENT * 2
    do = rng.choice([*kinds, *ODD_THINGS] if rng.random() < 0.5 else kinds)
    do(path, rng)
    return f"{do.__name__.strip('_')} {path.name}"


def _cut(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content) + 1)])


def _empty(path: Path, _: random.Random) -> None:
    path.write_bytes(b"")


def _noise(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(rng.choice([1, 7, 100, 5000])))


def _flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 3, 20]) if content else 0):
        content[rng.randrange(len(content))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, 0x1B, 0x22])
    path.write_bytes(content)


def _append(path: Path, rng: random.Random) -> None:
    with path.open("ab") as stream:
        stream.write(rng.choice([b"\0" * 1000, rng.randbytes(100), b"\xff", b"}", b"\n\n{}"]))


CONTENT = [_cut, _empty, _noise, _flip, _append]


def _remove(path: Path, _: random.Random) -> None:
    path.unlink()


def _folder(path: Path, _: random.Random) -> None:
    path.unlink()
    path.mkdir()


def _fifo(path: Path, _: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def _loop(path: Path, _: random.Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _dangling(path: Path, _: random.Random) -> None:
    path.unlink()
    path.symlink_to("not/there")


def _device(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.symlink_to(rng.choice(["/dev/zero", "/dev/null", "/dev/stdin", "/proc/self/mem"]))


def _socket(path: Path, _: random.Random) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.bind(str(path))
        except OSError:  # the path is too long for a socket
            path.mkdir()


ODD_THINGS = [_remove, _folder, _fifo, _loop, _dangling, _device, _socket]


def _damage_folder(path: Path, rng: random.Random) -> str:
    kind = rng.randrange(5)
    if kind == 0:
        (Path(os.fsdecode(os.fsencode(path) + b"/" + rng.choice(ODD_NAMES)))).write_bytes(b"x")
        return f"odd file in {path.name}"
    if kind == 1:
        (Path(os.fsdecode(os.fsencode(path) + b"/" + rng.choice(ODD_NAMES)))).mkdir()
        return f"odd folder in {path.name}"
    if kind == 2:
        (path / "loop").symlink_to(".")
        return f"link to itself in {path.name}"
    shutil.rmtree(path)
    if kind == 3:
        path.mkdir()
        return f"emptied {path.name}"
    path.write_bytes(b"x")
    return f"file in place of {path.name}"


def _odd_value(rng: random.Random) -> Any:
    return rng.choice([
        None, True, {}, [], rng.choice(ODD_TEXTS), rng.choice(ODD_TEXTS), rng.choice(ODD_NUMBERS),
        rng.choice(ODD_NUMBERS), [[[]]], {"a": None}, [rng.choice(ODD_NUMBERS)] * 3, "x" * 100_000,
    ])  # fmt: skip


def _places(content: Any) -> list[tuple[Any, Any]]:
    """Every container in JSON with each of its keys."""
    found: list[tuple[Any, Any]] = []
    pending = [content]
    while pending:
        each = pending.pop()
        keys = list(each) if isinstance(each, dict) else range(len(each))
        for key in keys:
            found.append((each, key))
            if isinstance(each[key], dict | list):
                pending.append(each[key])
    return found


def _change(content: Any, rng: random.Random) -> Any:
    places = _places(content) if isinstance(content, dict | list) else []
    if not places or rng.random() < 0.05:
        return _odd_value(rng)
    container, key = rng.choice(places)
    kind = rng.randrange(8)
    if kind == 0:
        del container[key]
    elif kind == 1 and isinstance(container, dict):
        container[rng.choice(ODD_TEXTS) or "extra"] = container[key]
    elif kind == 1:
        container.append(container[key])
    elif kind == 2 and isinstance(container[key], list) and container[key]:
        container[key] = container[key] * 1000
    else:
        container[key] = _odd_value(rng)
    return content


def _json(path: Path, rng: random.Random) -> None:
    try:
        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        number = rng.randrange(len(lines))
        lines[number] = json.dumps(_change(json.loads(lines[number]), rng))
        path.write_text("\n".join(lines))
    except (ValueError, IndexError):
        _noise(path, rng)


def _nested(path: Path, rng: random.Random) -> None:
    depth = rng.choice([50, 2000, 200_000])
    path.write_text(rng.choice(["[" * depth, "[" * depth + "]" * depth, '{"a":' * depth]))


def _toml(path: Path, rng: random.Random) -> None:
    lines = path.read_text().splitlines()
    settings = [number for number, line in enumerate(lines) if "=" in line]
    for _ in range(rng.choice([1, 1, 3])):
        number = rng.choice(settings)
        key = lines[number].partition("=")[0]
        value = rng.choice([
            "", "nan", "inf", "-inf", "9" * 30, "9" * 5000, "1e400", "-1", "0", "[]", "{}", "true",
            "'x'", "{name = 'x'}", '"\\u0000"', '"\\u001b[31m"', '"\\u202E"', "[1, 'a']",
            "'" + "x" * 100_000 + "'", "[" * 900 + "]" * 900, "{a.b.c = 1}", "0x7fffffffffffffff",
            "'../x'", "'/'", "'folder:/'", "'folder:'", "'folder:/dev/stdin'", "'mnist'",
        ])  # fmt: skip
        lines[number] = f"{key}= {value}"
    if rng.random() < 0.2:
        lines.insert(
            rng.randrange(len(lines)), rng.choice(["[x]", "x = 1", "[[a]]", "\ufeff", "="])
        )
    path.write_text("\n".join(lines), encoding="utf-8")


def _nested_toml(path: Path, rng: random.Random) -> None:
    depth = rng.choice([50, 3000, 100_000])
    text = rng.choice(["a = " + "[" * depth, "a = " + "[" * depth + "]" * depth,
                       "a = " + "{a=" * depth, "a" + ".a" * depth + " = 1",
                       "[a" + ".a" * depth + "]"])  # fmt: skip
    path.write_text(text + "\n" + path.read_text() if rng.random() < 0.5 else text)


def _safetensors(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + size], content[8 + size :]
    kind = rng.randrange(4)
    if kind == 0:
        depth = rng.choice([100, 200_000])
        header = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
    elif kind == 1:
        path.write_bytes(
            rng.choice([2**63, 2**40, 0, size * 2]).to_bytes(8, "little") + content[8:]
        )
        return
    else:
        found = json.loads(header)
        about = found.get("__metadata__")
        if about and rng.random() < 0.6:
            key = rng.choice(list(about))
            if about[key][:1] in "{[" and rng.random() < 0.8:
                about[key] = json.dumps(_change(json.loads(about[key]), rng))
            else:
                about[key] = rng.choice([*ODD_TEXTS[:-1], "[" * 100_000])
        else:
            found = _change(found, rng)
        header = json.dumps(found).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def _zip(path: Path, rng: random.Random) -> None:
    """Change a member of a zip file, such as a Keras model's config.json."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(members))
    if name.endswith(".json") and rng.random() < 0.8:
        members[name] = json.dumps(_change(json.loads(members[name]), rng)).encode()
    else:
        kind = rng.randrange(5)
        if kind == 0:
            del members[name]
        elif kind == 1:
            members[name] = members[name][: len(members[name]) // 2]
        elif kind == 2:
            members[name] = rng.randbytes(1000)
        elif kind == 3:
            members[name] = b"[" * 200_000
        else:
            members["../" * 3 + "x"] = b"x"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
