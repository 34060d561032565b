"""The release script: what it refuses, what it builds, what it tags. And CITATION.cff."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TODAY = date(2026, 11, 28)

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["release"] = module  # dataclasses look up their module
    spec.loader.exec_module(module)
    return module


release = load_script()


def git(root: Path, *words: str) -> str:
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")
    done = subprocess.run(
        ["git", *who, *words], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Change files")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small package, committed, ready for its release 1.2.3."""
    root = tmp_path / "repository"
    files = {
        "pyproject.toml": '[build-system]\nrequires = ["setuptools>=77"]\n'
        'build-backend = "setuptools.build_meta"\n\n[project]\nname = "pocketlens"\n'
        'version = "1.2.3"\ndescription = "A package"\nreadme = "README.md"\n\n'
        '[tool.setuptools.packages.find]\nwhere = ["src"]\n',
        "README.md": "# Pocketlens\n",
        "CITATION.cff": "cff-version: 1.2.0\nversion: 1.2.3\n",
        "CHANGELOG.md": "# Changelog\n\n## 1.2.3 (2026-11-27)\n\n- It is faster.\n"
        "# not a comment\n\n## 1.2.2 (2026-10-01)\n\n- It works.\n",
        "src/pocketlens/__init__.py": "",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "config", "user.name", "Somebody")
    git(root, "config", "user.email", "somebody@example.com")
    commit(root)
    return root


def change(root: Path, name: str, old: str, new: str) -> None:
    path = root / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_repository_that_is_ready(repository: Path) -> None:
    assert release.check_repository(repository, TODAY) == "1.2.3"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "CHANGELOG.md",
            "(2026-11-27)",
            "(unreleased)",
            "CHANGELOG.md has no date for 1.2.3: it says (unreleased); "
            "expected: ## 1.2.3 (2026-11-28)",
        ),
        (
            "CHANGELOG.md",
            "(2026-11-27)",
            "(2026-11-29)",
            "CHANGELOG.md dates 1.2.3 in the future: 2026-11-29; expected: ## 1.2.3 (2026-11-28)",
        ),
        (
            "CHANGELOG.md",
            "## 1.2.3 (",
            "## 1.2.30 (",
            "CHANGELOG.md has no section for 1.2.3; "
            "expected a heading such as ## 1.2.3 (2026-11-28)",
        ),
        (
            "CHANGELOG.md",
            "- It is faster.\n# not a comment\n",
            "",
            "CHANGELOG.md says nothing about 1.2.3; list what has changed",
        ),
        (
            "CITATION.cff",
            "1.2.3",
            "1.2.2",
            "CITATION.cff has the version 1.2.2; expected 1.2.3, as in pyproject.toml",
        ),
        (
            "CITATION.cff",
            "\nversion: 1.2.3",
            "",
            "CITATION.cff has the version none; expected 1.2.3, as in pyproject.toml",
        ),
    ],
)
def test_files_that_are_not_ready(
    repository: Path, name: str, old: str, new: str, message: str
) -> None:
    change(repository, name, old, new)
    commit(repository)
    with pytest.raises(release.ReleaseError) as error:
        release.check_repository(repository, TODAY)
    assert str(error.value) == f"not ready:\n  - {message}"


@pytest.mark.parametrize("line", ['__version__ = "1.2.3"', "__version__: str = '1.2.3'"])
def test_a_second_version_is_refused(repository: Path, line: str) -> None:
    (repository / "src/pocketlens/__init__.py").write_text(f"{line}\n", encoding="utf-8")
    assert release.version_problems(repository, "1.2.3") == [
        "src/pocketlens/__init__.py sets __version__ itself; "
        "remove that, the version is set in pyproject.toml"
    ]


def test_all_problems_are_reported_together(repository: Path) -> None:
    git(repository, "tag", "v1.2.3")
    change(repository, "CHANGELOG.md", "(2026-11-27)", "(unreleased)")
    change(repository, "CITATION.cff", "1.2.3", "1.0.0")
    (repository / "new file").touch()
    with pytest.raises(release.ReleaseError) as error:
        release.check_repository(repository, TODAY)
    lines = str(error.value).splitlines()
    assert lines[0] == "not ready:"
    assert [line.split()[1] for line in lines[1:]] == ["CITATION.cff", "CHANGELOG.md", "the", "the"]
    assert lines[3] == (
        '  - the working tree has changes: CHANGELOG.md, CITATION.cff, "new file"; '
        "commit or remove them"
    )
    assert lines[4] == (
        "  - the tag v1.2.3 exists; set a new version in pyproject.toml and CITATION.cff"
    )


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3.dev0", "1.2.3-rc1", ""])
def test_versions_that_are_refused(repository: Path, version: str) -> None:
    change(repository, "pyproject.toml", '"1.2.3"', f'"{version}"')
    with pytest.raises(release.ReleaseError, match="expected one such as 1.2.3, 1.2.3a1"):
        release.read_version(repository)


@pytest.mark.parametrize("version", ["0.1.0", "12.0.3", "1.2.3rc1"])
def test_versions_that_are_taken(repository: Path, version: str) -> None:
    change(repository, "pyproject.toml", '"1.2.3"', f'"{version}"')
    assert release.read_version(repository) == version


def test_a_section_ends_at_the_next(repository: Path) -> None:
    section = release.changelog_section(repository, "1.2.3")
    assert section == ("2026-11-27", "- It is faster.\n# not a comment")
    assert release.changelog_section(repository, "1.2.2") == ("2026-10-01", "- It works.")
    assert release.changelog_section(repository, "1.2.1") is None


def test_the_tag_is_annotated_with_the_changes(repository: Path) -> None:
    assert release.tag(repository, "1.2.3") == "v1.2.3"
    assert git(repository, "cat-file", "-t", "v1.2.3") == "tag"
    assert git(repository, "rev-parse", "v1.2.3^{commit}") == git(repository, "rev-parse", "HEAD")
    message = git(repository, "for-each-ref", "--format=%(contents)", "refs/tags/v1.2.3")
    assert message == "Pocketlens 1.2.3\n\n- It is faster.\n# not a comment"
    with pytest.raises(release.ReleaseError, match="tag 'v1.2.3' already exists"):
        release.tag(repository, "1.2.3")


def test_packages_are_kept_once(tmp_path: Path) -> None:
    built = release.packages_in(tmp_path / "built", "1.2.3")
    out = tmp_path / "a" / "dist"
    built.sdist.parent.mkdir()
    built.sdist.write_bytes(b"one")
    built.wheel.write_bytes(b"two")
    kept = release.keep(built, out)
    assert (kept.sdist.read_bytes(), kept.wheel.read_bytes()) == (b"one", b"two")
    assert sorted(path.name for path in out.iterdir()) == [
        "pocketlens-1.2.3-py3-none-any.whl",
        "pocketlens-1.2.3.tar.gz",
    ]
    kept.sdist.unlink()
    with pytest.raises(release.ReleaseError) as error:
        release.refuse_existing(out, "1.2.3")
    assert str(error.value) == f"{kept.wheel} exists; remove it or pass --force"


def test_the_next_commands_push_nothing_by_themselves(repository: Path) -> None:
    said = release.next_commands("v1.2.3", release.packages_in(Path("dist"), "1.2.3"))
    assert said.splitlines()[:2] == ["Nothing was pushed. Next:", "  git push origin v1.2.3"]
    assert "twine upload" in said and "git tag --delete v1.2.3" in said


def test_a_failing_command_is_shown_with_its_output() -> None:
    with pytest.raises(release.ReleaseError, match="ended with status 3:\ngone wrong"):
        release.run(sys.executable, "-c", "print('gone wrong'); raise SystemExit(3)")


def test_main_says_what_is_wrong(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change(repository, "CITATION.cff", "1.2.3", "1.0.0")
    commit(repository)
    monkeypatch.setattr(release, "ROOT", repository)
    assert release.main(["--dry-run"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("release: error: not ready:\n  - CITATION.cff has the version 1.0.0")
    assert git(repository, "tag") == ""


def test_the_citation() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    # The keys that the schema of version 1.2.0 requires, and no unknown ones.
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert set(cited) <= {
        *("cff-version", "message", "title", "authors", "type", "abstract"),
        *("license", "version", "keywords", "repository-code", "url", "date-released"),
    }
    assert cited["cff-version"] == "1.2.0"
    assert cited["type"] == "software"
    assert cited["authors"] == [{"name": "The Pocketlens developers"}]
    assert cited["license"] == "MIT"


def test_this_repository_has_one_version() -> None:
    """pyproject.toml sets it; CITATION.cff, which is read without Python, repeats it."""
    assert release.version_problems(ROOT, release.read_version(ROOT)) == []


def test_the_security_policy_is_true() -> None:
    """The tests that it lists exist, and its limits are those of the code."""
    from pocketlens import image, image_files
    from pocketlens.conversion import keras_size
    from pocketlens.coreml.file import budget
    from pocketlens.coreml.graph import builder
    from pocketlens.data import large_arrays
    from pocketlens.preview import accepting, connections, corrections, decoders, guard, live
    from pocketlens.preview.duel import rooms

    said = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:tests|fuzz)/[^`]*)`", said)
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path).exists()] == []
    text = " ".join(said.split())
    for limit in (
        f"More than {image.MAX_PIXELS // 1_000_000} million pixels",
        f"({', '.join(image_files.FORMATS).replace('WEBP', 'WebP')})",
        f"need more than {large_arrays.IN_MEMORY >> 20} MiB are kept in a file",
        f"at most {keras_size.MAX_KERAS_BYTES >> 30} GiB of variables",
        f"needs more than {budget.MAX_MEMORY >> 30} GiB of memory",
        f"at most {builder.MAX_OPERATIONS:,} operations, {builder.MAX_NODES:,} nodes",
        f"nested at most {builder.MAX_NESTING} deep",
        f"bodies are limited to {guard.MAX_BODY // 1_000_000} MB",
        f"WebSocket messages to {connections.MAX_MESSAGE // 1_000_000} MB",
        f"photos to {decoders.MAX_PHOTO_PIXELS // 1_000_000} and live frames to "
        f"{decoders.MAX_FRAME_PIXELS // 1_000_000} million pixels",
        f"connections to {accepting.MAX_CONNECTIONS}",
        f"live pages to {live.MAX_SOCKETS}",
        f"duels to {rooms.MAX_ROOMS}",
    ):
        assert limit in text
    assert f"at most {corrections.MAX_CORRECTIONS:,} of them" in text


def test_every_data_file_is_packed() -> None:
    """`release.check_packages` finds this, too, but only when a release is built."""
    package = ROOT / "src" / "pocketlens"
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["pocketlens"]
    packed = {file for pattern in patterns for file in package.glob(pattern)}
    tracked = git(ROOT, "ls-files", "src/pocketlens").splitlines()
    files = {ROOT / name for name in tracked if not name.endswith(".py")}
    assert len(files) > 50
    assert files - packed == set()


@pytest.mark.slow
def test_a_package_without_a_file_is_refused(repository: Path, tmp_path: Path) -> None:
    """A real build: a data file is missing until pyproject.toml names it."""
    for module in ("build", "twine"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    (repository / "src/pocketlens/names.txt").write_text("one\n", encoding="utf-8")
    commit(repository)
    built = release.build(repository, "1.2.3", tmp_path / "first")
    with pytest.raises(release.ReleaseError, match=r"\.whl lacks pocketlens/names\.txt; add them"):
        release.check_packages(repository, built)
    with (repository / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write('\n[tool.setuptools.package-data]\npocketlens = ["*.txt"]\n')
    commit(repository)
    # A file that git ignores is not packed, even if it is in the package's folder.
    (repository / ".git/info/exclude").write_text("secret.txt\n", encoding="utf-8")
    (repository / "src/pocketlens/secret.txt").touch()
    built = release.build(repository, "1.2.3", tmp_path / "second")
    release.check_packages(repository, built)
    with zipfile.ZipFile(built.wheel) as wheel:
        assert "pocketlens/secret.txt" not in wheel.namelist()


@pytest.mark.slow
def test_this_repository_can_be_released(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All steps, on a copy: a dry run, then a release up to the tag."""
    for module in ("build", "twine"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a clone of the repository")
    root = tmp_path / "copy"
    for name in git(ROOT, "ls-files", "-z").split("\0"):
        if name and (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "config", "user.name", "Somebody")
    git(root, "config", "user.email", "somebody@example.com")
    version = release.read_version(root)
    section = release.changelog_section(root, version)
    assert section is not None
    change(
        root,
        "CHANGELOG.md",
        f"## {version} ({section[0]})",
        f"## {version} ({TODAY.isoformat()})",
    )
    commit(root)
    out = tmp_path / "dist"
    release.release(root, out=out, dry_run=True, today=TODAY)
    assert not out.exists()
    assert git(root, "tag") == ""
    assert "it runs a Core ML file\ndry run" in capsys.readouterr().out

    # The wheel was tried a moment ago, with the dependencies downloaded; once is enough.
    monkeypatch.setattr(release, "try_wheel", lambda *_: None)
    release.release(root, out=out, dry_run=False, today=TODAY)
    assert f"git push origin v{version}" in capsys.readouterr().out
    assert git(root, "cat-file", "-t", f"v{version}") == "tag"
    assert git(root, "status", "--porcelain") == ""
    with zipfile.ZipFile(release.packages_in(out, version).wheel) as wheel:
        assert "pocketlens/py.typed" in wheel.namelist()
    with pytest.raises(release.ReleaseError, match=f"the tag v{version} exists"):
        release.release(root, out=out, dry_run=True, today=TODAY)
