"""Prepare a release: check the repository, build and try the packages, tag the commit.

    python scripts/release.py --dry-run    # all checks and a trial build; nothing is kept
    python scripts/release.py              # the same, then writes dist/ and an annotated tag

Nothing is pushed or uploaded: the last lines of the output are the commands that do that.
Needs `build` and `twine` in the environment that runs it, and a network for pip.
"""

# ruff: noqa: T201 - printing is its job

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "pocketlens"

VERSION = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")
HEADING = re.compile(r"^## (?P<version>\S+) \((?P<date>[^)]*)\)$", re.MULTILINE)
CITED = re.compile(r"^version: *[\"']?([^\"'\s]+)[\"']?$", re.MULTILINE)
SECOND_VERSION = re.compile(r"^__version__\b[^=\n]*= *[\"']", re.MULTILINE)

TRIAL = """
import sys
from pathlib import Path

import coremltools
from coremltools.models import datatypes
from coremltools.models.neural_network import NeuralNetworkBuilder

from pocketlens.coreml import load

builder = NeuralNetworkBuilder(
    [("x", datatypes.Array(4))], [("y", datatypes.Array(4))], disable_rank5_shape_mapping=True
)
builder.add_elementwise("doubled", ["x"], "double", "MULTIPLY", alpha=2.0)
builder.add_activation("relu", "RELU", "double", "y")
path = Path(sys.argv[1]) / "Trial.mlmodel"
coremltools.models.utils.save_spec(builder.spec, str(path))
print([float(value) for value in load(path).run({"x": [-1.5, 0.0, 0.25, 3.0]})["y"]])
"""
"""Runs a Core ML file that doubles four numbers and cuts off what is below zero."""

TRIAL_RESULT = "[0.0, 0.0, 0.5, 6.0]"


class ReleaseError(Exception):
    """The release cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Packages:
    """What a build writes."""

    sdist: Path
    wheel: Path


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command and return its standard output.

    Raises:
        ReleaseError: It ended with another status than 0; the message has the end of its output.
    """
    # A PYTHONPATH would let the fresh environment import the working tree.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        output = (done.stdout + done.stderr).strip()[-2000:]
        words = " ".join(str(word) for word in command[:5])
        raise ReleaseError(f"`{words} ...` ended with status {done.returncode}:\n{output}")
    return done.stdout


def git(root: Path, *words: str) -> str:
    """Run git in `root` and return what it prints."""
    return run("git", "-C", root, *words).strip()


def read_version(root: Path) -> str:
    """The version in pyproject.toml, which is the only place that sets it.

    Raises:
        ReleaseError: It is missing or is not of the form 1.2.3, 1.2.3a1, 1.2.3b1 or 1.2.3rc1.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = project.get("version")
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise ReleaseError(
            f"pyproject.toml has the version {version!r}; "
            "expected one such as 1.2.3, 1.2.3a1, 1.2.3b1 or 1.2.3rc1"
        )
    return version


def changelog_section(root: Path, version: str) -> tuple[str, str] | None:
    """The date and the text of a version's section in CHANGELOG.md; None if it has none.

    A section begins with a heading such as `## 1.2.3 (2026-11-28)` and ends at the next one.
    """
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = [*HEADING.finditer(text)]
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    for heading, end in zip(headings, ends, strict=True):
        if heading["version"] == version:
            return heading["date"], text[heading.end() : end].strip()
    return None


def version_problems(root: Path, version: str) -> list[str]:
    """Where the repository contradicts or repeats the version of pyproject.toml."""
    problems = [
        f"{path.relative_to(root).as_posix()} sets __version__ itself; "
        "remove that, the version is set in pyproject.toml"
        for path in sorted((root / "src").rglob("*.py"))
        if SECOND_VERSION.search(path.read_text(encoding="utf-8"))
    ]
    cited = CITED.findall((root / "CITATION.cff").read_text(encoding="utf-8"))
    if cited != [version]:
        received = ", ".join(cited) or "none"
        problems.append(
            f"CITATION.cff has the version {received}; expected {version}, as in pyproject.toml"
        )
    return problems


def changelog_problems(root: Path, version: str, today: date) -> list[str]:
    """What keeps CHANGELOG.md from describing the release."""
    section = changelog_section(root, version)
    expected = f"## {version} ({today.isoformat()})"
    if section is None:
        return [f"CHANGELOG.md has no section for {version}; expected a heading such as {expected}"]
    dated, text = section
    problems = []
    try:
        if date.fromisoformat(dated) > today:
            problems.append(
                f"CHANGELOG.md dates {version} in the future: {dated}; expected: {expected}"
            )
    except ValueError:
        problems.append(
            f"CHANGELOG.md has no date for {version}: it says ({dated}); expected: {expected}"
        )
    if not text:
        problems.append(f"CHANGELOG.md says nothing about {version}; list what has changed")
    return problems


def git_problems(root: Path, version: str) -> list[str]:
    """What keeps the commit from being tagged: changes that are not in it, a tag that exists."""
    problems = []
    if changed := git(root, "status", "--porcelain").splitlines():
        shown = ", ".join(line[2:].strip() for line in changed[:5])
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        problems.append(f"the working tree has changes: {shown}{more}; commit or remove them")
    if git(root, "tag", "--list", f"v{version}"):
        problems.append(
            f"the tag v{version} exists; set a new version in pyproject.toml and CITATION.cff"
        )
    return problems


def check_repository(root: Path, today: date) -> str:
    """The version that can be released.

    Raises:
        ReleaseError: Something has to be changed first; all problems are reported together.
    """
    version = read_version(root)
    problems = [
        *version_problems(root, version),
        *changelog_problems(root, version, today),
        *git_problems(root, version),
    ]
    if problems:
        raise ReleaseError("\n".join(["not ready:", *(f"  - {problem}" for problem in problems)]))
    return version


def packages_in(folder: Path, version: str) -> Packages:
    """What the packages of a version are called, in `folder`."""
    name = f"{PACKAGE}-{version}"
    return Packages(folder / f"{name}.tar.gz", folder / f"{name}-py3-none-any.whl")


def build(root: Path, version: str, folder: Path) -> Packages:
    """Build sdist and wheel of the commit in `root`, into `folder`.

    They are built from a clone: an ignored or outdated file of the working tree cannot get in.
    """
    clone, out = folder / "clone", folder / "packages"
    run("git", "clone", "--quiet", "--no-hardlinks", root, clone)
    run(sys.executable, "-m", "build", "--outdir", out, clone)
    found = packages_in(out, version)
    names = sorted(path.name for path in out.iterdir())
    if names != sorted([found.sdist.name, found.wheel.name]):
        raise ReleaseError(
            f"the build wrote {', '.join(names)}; "
            f"expected {found.sdist.name} and {found.wheel.name}"
        )
    return found


def check_packages(root: Path, packages: Packages) -> None:
    """Check the metadata, and that both packages hold every file of `src/pocketlens`.

    Raises:
        ReleaseError: twine finds something, or a package lacks a file or has one too many.
    """
    run(sys.executable, "-m", "twine", "check", "--strict", packages.sdist, packages.wheel)
    tracked = git(root, "ls-files", "-z", f"src/{PACKAGE}").split("\0")
    expected = {name.removeprefix("src/") for name in tracked if name}
    with zipfile.ZipFile(packages.wheel) as wheel:
        in_wheel = {name for name in wheel.namelist() if name.startswith(f"{PACKAGE}/")}
    with tarfile.open(packages.sdist) as sdist:
        inside = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    prefix = f"src/{PACKAGE}/"
    in_sdist = {name.removeprefix("src/") for name in inside if name.startswith(prefix)}
    for path, found in ((packages.wheel, in_wheel), (packages.sdist, in_sdist)):
        if missing := sorted(expected - found):
            raise ReleaseError(
                f"{path.name} lacks {', '.join(missing[:5])}; "
                "add them to [tool.setuptools.package-data] in pyproject.toml"
            )
        if extra := sorted(found - expected):
            raise ReleaseError(f"{path.name} has files that git does not: {', '.join(extra[:5])}")


def try_wheel(root: Path, version: str, wheel: Path, folder: Path) -> None:
    """Install the wheel into a fresh environment; ask for its version; run a Core ML file.

    Dependencies are those of `constraints.txt`. The environment has no extras, so no PyTorch.

    Raises:
        ReleaseError: It cannot be installed, reports another version or computes something else.
    """
    environment = folder / "environment"
    run(sys.executable, "-m", "venv", environment)
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / "python"
    install = ("-m", "pip", "install", "--disable-pip-version-check", "--quiet")
    run(python, *install, wheel, "-c", root / "constraints.txt")
    # From another folder, so that nothing of the working tree is importable.
    said = run(scripts / PACKAGE, "--version", cwd=folder).strip()
    if version not in said.split():
        raise ReleaseError(
            f"`{PACKAGE} --version` of the installed wheel prints {said!r}; expected {version}"
        )
    last = run(python, "-W", "ignore", "-c", TRIAL, folder, cwd=folder).strip().splitlines()[-1]
    if last != TRIAL_RESULT:
        raise ReleaseError(
            f"the installed wheel runs a Core ML file to {last}; expected {TRIAL_RESULT}"
        )


def refuse_existing(out: Path, version: str) -> None:
    """Raise ReleaseError if a package of this version is in `out`."""
    found = packages_in(out, version)
    for path in (found.sdist, found.wheel):
        if path.exists():
            raise ReleaseError(f"{path} exists; remove it or pass --force")


def keep(packages: Packages, out: Path) -> Packages:
    """Copy the packages into `out`, over what is there."""
    out.mkdir(parents=True, exist_ok=True)
    kept = Packages(out / packages.sdist.name, out / packages.wheel.name)
    shutil.copy2(packages.sdist, kept.sdist)
    shutil.copy2(packages.wheel, kept.wheel)
    return kept


def tag(root: Path, version: str) -> str:
    """Tag the commit, with the section of CHANGELOG.md as the tag's message; the tag's name."""
    section = changelog_section(root, version)
    if section is None:
        raise ReleaseError(f"CHANGELOG.md has no section for {version}")
    name = f"v{version}"
    message = f"Pocketlens {version}\n\n{section[1]}\n"
    # Verbatim: a line of Markdown that starts with # is not a comment.
    git(root, "tag", "--annotate", "--cleanup=verbatim", "--message", message, name)
    return name


def next_commands(name: str, kept: Packages) -> str:
    """What to type to publish what is now on this computer."""
    files = f"{kept.sdist} {kept.wheel}"
    return (
        "Nothing was pushed. Next:\n"
        f"  git push origin {name}\n"
        f"  python -m twine upload {files}\n"
        f"  gh release create {name} --notes-from-tag {files}\n"
        f"To undo: git tag --delete {name}"
    )


def release(
    root: Path, *, out: Path, dry_run: bool, force: bool = False, today: date | None = None
) -> None:
    """Check, build, try; then, unless it is a dry run, keep the packages and tag the commit."""
    version = check_repository(root, today or datetime.now(UTC).date())
    if not (dry_run or force):
        refuse_existing(out, version)
    print(f"{version}: the repository is ready")
    with tempfile.TemporaryDirectory(prefix="pocketlens-release-") as name:
        folder = Path(name)
        packages = build(root, version, folder)
        print(f"built {packages.sdist.name} and {packages.wheel.name}")
        check_packages(root, packages)
        print("checked their metadata and that no file is missing")
        try_wheel(root, version, packages.wheel, folder)
        print("installed the wheel into a fresh environment; it runs a Core ML file")
        if dry_run:
            print("dry run: nothing was kept, no tag was made")
            return
        kept = keep(packages, out)
    print(next_commands(tag(root, version), kept))


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0: done. 1: something has to be changed first, or a check failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dry-run", action="store_true", help="check and build, keep nothing")
    parser.add_argument("--force", action="store_true", help="replace packages in the output")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="default: dist/")
    options = parser.parse_args(arguments)
    try:
        release(ROOT, out=options.out, dry_run=options.dry_run, force=options.force)
    except ReleaseError as error:
        print(f"release: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
