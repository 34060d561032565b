"""Writing completely or not at all, and which files --force keeps."""

import json
from pathlib import Path

import pytest

from pocketlens.app.writer import MANIFEST, write_app
from pocketlens.errors import AppError, OutputError, OutputExistsError

FIRST = {"App/A.swift": b"a", "App/B.swift": b"b", "README.md": b"read"}


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    assert write_app(folder, FIRST, force=False) == []
    return folder


def test_a_new_folder_contains_the_files_and_no_temporary_files_remain(app: Path) -> None:
    assert files(app) == FIRST
    assert [path.name for path in app.parent.iterdir()] == ["app"]


def test_files_are_copied_from_paths(tmp_path: Path) -> None:
    source = tmp_path / "weights.bin"
    source.write_bytes(bytes(range(256)) * 9000)
    write_app(tmp_path / "app", {"App/w.bin": source}, force=False)
    assert (tmp_path / "app/App/w.bin").read_bytes() == source.read_bytes()


def test_an_existing_folder_is_rejected(app: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError, match="already exists.*add --force"):
        write_app(app, FIRST, force=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(OutputExistsError):
        write_app(tmp_path / "empty", FIRST, force=False)


def test_force_does_not_change_a_folder_without_a_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "README.md").write_text("mine")
    with pytest.raises(OutputExistsError, match="was not written by Pocketlens"):
        write_app(folder, FIRST, force=True)
    assert files(folder) == {"README.md": b"mine"}


def test_force_writes_a_new_folder_too(tmp_path: Path) -> None:
    assert write_app(tmp_path / "new", FIRST, force=True) == []
    assert files(tmp_path / "new") == FIRST


def test_force_replaces_removes_and_adds_unchanged_files(app: Path) -> None:
    second = {"App/A.swift": b"a2", "Kit/C.swift": b"c"}
    assert write_app(app, second, force=True) == []
    assert files(app) == second


def test_force_keeps_files_that_the_user_added(app: Path) -> None:
    (app / "App/Mine.swift").write_text("mine")
    assert write_app(app, {"README.md": b"new"}, force=True) == []
    assert files(app) == {"App/Mine.swift": b"mine", "README.md": b"new"}


def test_force_keeps_files_that_the_user_changed_and_returns_them_each_time(app: Path) -> None:
    (app / "App/A.swift").write_bytes(b"mine")
    second = {**FIRST, "App/A.swift": b"a2"}
    for _ in range(2):
        assert write_app(app, second, force=True) == ["App/A.swift"]
        assert files(app) == {**FIRST, "App/A.swift": b"mine"}
    (app / "App/A.swift").unlink()
    assert write_app(app, second, force=True) == []
    assert files(app) == second


def test_a_changed_file_is_not_returned_if_the_new_app_has_the_same_one(app: Path) -> None:
    (app / "App/A.swift").write_bytes(b"mine")
    assert write_app(app, FIRST, force=True) == []
    assert files(app) == {**FIRST, "App/A.swift": b"mine"}


def test_a_changed_file_is_kept_when_the_new_app_does_not_have_it(app: Path) -> None:
    (app / "App/B.swift").write_bytes(b"mine")
    assert write_app(app, {"README.md": b"read"}, force=True) == ["App/B.swift"]
    assert files(app) == {"README.md": b"read", "App/B.swift": b"mine"}


def test_a_file_of_the_user_at_the_path_of_a_new_file_is_kept(app: Path) -> None:
    (app / "App/New.swift").write_bytes(b"mine")
    for _ in range(2):
        assert write_app(app, {**FIRST, "App/New.swift": b"ours"}, force=True) == ["App/New.swift"]
    assert (app / "App/New.swift").read_bytes() == b"mine"


def test_an_interrupted_write_is_completed_by_the_next(
    app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = {path: content + b"2" for path, content in FIRST.items()}
    replace, calls = Path.replace, 0

    def failing(self: Path, target: Path) -> Path:
        nonlocal calls
        if Path(target).name != MANIFEST:
            calls += 1
            if calls == 2:
                raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OutputError, match="No space left on device"):
        write_app(app, second, force=True)
    monkeypatch.undo()
    assert write_app(app, second, force=True) == []
    assert files(app) == second


def test_a_failed_write_of_a_new_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_app(tmp_path / "app", {"A": b"a", "B": tmp_path / "gone"}, force=False)
    assert list(tmp_path.iterdir()) == []


def test_files_are_not_written_through_symbolic_links(app: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "A.swift").write_bytes(b"a")
    for path in (app / "App").iterdir():
        path.unlink()
    (app / "App").rmdir()
    (app / "App").symlink_to(outside)
    with pytest.raises(OutputError, match="is a symbolic link"):
        write_app(app, {"App/A.swift": b"a2"}, force=True)
    assert files(outside) == {"A.swift": b"a"}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"files": {"../other": ["00"]}}',
        '{"files": {"/etc/passwd": ["00"]}}',
        '{"files": {"": ["00"]}}',
        '{"files": {"A": 1}}',
        "[" * 100_000,
        "x" * 4_000_001,
    ],
)
def test_a_damaged_manifest_is_rejected(app: Path, content: str) -> None:
    (app / MANIFEST).write_text(content)
    with pytest.raises(AppError, match="is damaged"):
        write_app(app, {"README.md": b"new"}, force=True)
    assert files(app) == FIRST


def test_the_manifest_lists_every_file(app: Path) -> None:
    assert set(json.loads((app / MANIFEST).read_text())["files"]) == set(FIRST)
