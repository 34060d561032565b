"""`run_site`, and `pocketlens web --check` with a browser."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import output_of, run_command
from pocketlens.coreml import load
from pocketlens.errors import AppError
from pocketlens.web import create_web, find_browser, run_site, running
from pocketlens.web.examples import TOLERANCE, read_examples
from preview.server import quarters_file

TIMEOUT = 120.0

# Not a browser, but it asks and answers as one. `answer(found)` changes the right answers.
PROGRAM = """#!{python}
import json, sys, time
from urllib.request import Request, urlopen
assert "--headless=new" in sys.argv
address = sys.argv[-1].rpartition("/")[0] + "/"
page = urlopen(address + "check-page.html")
assert "script-src 'self' 'wasm-unsafe-eval'" in page.headers["content-security-policy"]
assert b"import" in urlopen(address + "check-page.js").read()
images = json.load(urlopen(address + "check-images.json"))
found = [{{"probabilities": row, "milliseconds": 2}} for row in {rows}]
assert len(images) == len(found)
answer = {{"found": found, "violations": []}}
{script}
urlopen(Request(address + "check-answer", json.dumps(answer).encode(), method="POST"))
time.sleep(600)  # until it is ended
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("running")
    return create_web(quarters_file(folder / "Quarters.mlmodel"), folder / "site")


@pytest.fixture
def browser(site: Path, tmp_path: Path) -> Callable[[str], Path]:
    if sys.platform == "win32":
        pytest.skip("the program is a script with its interpreter in the first line")

    def program(script: str = "") -> Path:
        rows = json.loads((site / "examples.json").read_text())["probabilities"]
        path = tmp_path / "chromium"
        path.write_text(PROGRAM.format(python=sys.executable, rows=rows, script=script))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return program


def test_examples_are_answers_of_the_core_ml_file(site: Path) -> None:
    model = load(site.parent / "Quarters.mlmodel")
    found = read_examples(site, model.input_spec, len(model.classes))
    assert found.images.shape[1:] == model.input_spec.shape
    np.testing.assert_allclose(found.probabilities, model.probabilities(found.images), atol=1e-6)
    assert found.tolerance == TOLERANCE
    assert len(set(found.probabilities.argmax(1).tolist())) > 1
    assert "examples.json" not in (site / "sw.js").read_text()  # no part of the page


def test_same_answers(site: Path, browser: Callable[[str], Path]) -> None:
    found = run_site(site, browser("found[0]['probabilities'][1] += 9e-4"), timeout=TIMEOUT)
    assert found.problems == []
    assert found.images == 6 and found.milliseconds == 2
    assert found.largest_difference == pytest.approx(9e-4)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (
            "row = found[1]['probabilities']; row[:] = [0, 0, 0, 0.9, 0.1]",
            "image 2 of 6: the page answers bottom right 0.9000, the Core ML file ",
        ),
        ("found[0]['probabilities'][0] = float('nan')", "a probability differs by nan"),
        ("del found[0]", "does not run in the browser: (5, 5) numbers; expected (6, 5)"),
        ("found[0] = 3", "the model does not run in the browser: "),
        ("answer = {'error': 'no SIMD'}", "the model does not run in the browser: no SIMD"),
        ("answer = [[]]", "the model does not run in the browser: the answer is not JSON"),
        ("answer['violations'] = ['img-src: x']", "the page violates its policy: img-src: x"),
        (
            "try: urlopen(address + 'extra.js')\nexcept OSError: pass",
            "the page asks for extra.js, which is not in the site",
        ),
        ("print('no memory', file=sys.stderr); sys.exit(3)", "ended with status 3: no memory"),
    ],
)
def test_other_answers(
    site: Path, browser: Callable[[str], Path], script: str, problem: str
) -> None:
    found = run_site(site, browser(script), timeout=TIMEOUT)
    assert any(problem in each for each in found.problems), found.problems


def test_only_the_site_is_served(site: Path, browser: Callable[[str], Path]) -> None:
    (site.parent / "secret").write_text("not for others")
    script = """
paths = ["../secret", "/" + "secret", address + "../secret", "site.json", ".git/HEAD"]
for path in paths:
    try:
        urlopen(path if path.startswith("http") else address + path)
    except OSError:
        continue
    answer = {"error": f"{path} was served"}
"""
    found = run_site(site, browser(script), timeout=TIMEOUT)
    assert not [each for each in found.problems if "was served" in each]
    assert found.images == 6


def test_a_browser_that_does_not_answer(
    site: Path, browser: Callable[[str], Path], tmp_path: Path
) -> None:
    found = run_site(site, browser("time.sleep(600)"), timeout=1)
    assert found.problems == [f"{tmp_path / 'chromium'} gave no answer in 1 s"]
    found = run_site(site, tmp_path / "none", timeout=1)
    assert found.problems == [f"{tmp_path / 'none'} cannot be started: No such file or directory"]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"grids": [[]], "probabilities": [], "tolerance": 0}', "[" * 10**5]
)
def test_damaged_examples(
    site: Path, browser: Callable[[str], Path], tmp_path: Path, content: str
) -> None:
    folder = shutil.copytree(site, tmp_path / "site")
    (folder / "examples.json").write_text(content)
    with pytest.raises(AppError, match=r"examples.json cannot be read .*; write the website again"):
        run_site(folder, browser(""))


def test_site_of_an_older_version(
    site: Path, browser: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(site, tmp_path / "site")
    listing = json.loads((folder / "site.json").read_text())
    del listing["files"]["examples.json"]
    (folder / "site.json").write_text(json.dumps(listing))
    found = run_site(folder, browser(""))
    assert found.problems == [
        f"{folder} was written by an older version; write it again, with --force"
    ]


def test_command(
    site: Path, browser: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_browser() is None
    text = output_of("web", "--check", site)
    assert "no problems found; page 1" in text and ", engine pocketlens" in text
    assert "whether the model runs was not checked: Chromium or Chrome was not found" in text
    status, _, err = run_command("web", "--check", site, "--browser")
    assert status == 2 and "--browser needs Chromium or Chrome on the PATH; none was found" in err
    program = browser("")
    assert find_browser() == program
    text = output_of("web", "--check", site)
    assert "the model ran on 6 images in chromium: 2.0 ms per image; probabilities differ" in text
    assert "the model" not in output_of("web", "--check", site, "--no-browser").split("\n", 1)[1]
    browser("found[0]['probabilities'][0] += 1")
    status, out, _ = run_command("web", "--check", site, "--json")
    found: dict[str, Any] = json.loads(out)
    assert status == 1 and found["run"]["problems"] == found["problems"] != []
    (damaged := shutil.copytree(site, tmp_path / "site") / "main.js").write_text("")
    status, out, _ = run_command("web", "--check", damaged.parent, "--json")
    assert status == 1 and json.loads(out)["run"] is None  # not started
    status, _, err = run_command("web", "Q.mlmodel", "-o", tmp_path / "other", "--browser")
    assert status == 2 and "--browser and --no-browser need --check" in err


@pytest.mark.browser
@pytest.mark.parametrize(
    "engine", ["pocketlens", pytest.param("onnxruntime", marks=pytest.mark.slow)]
)
def test_model_runs_in_chromium(tmp_path: Path, engine: str) -> None:
    """With the real package of onnxruntime-web, which npm downloads."""
    program = find_browser()
    if program is None:
        pytest.skip("Chromium is not on the PATH; install it with: apt-get install chromium")
    if engine == "onnxruntime" and shutil.which("npm") is None:
        pytest.skip("npm is not on the PATH; it is needed to download onnxruntime-web")
    file = quarters_file(tmp_path / "Quarters.mlmodel")
    folder = create_web(file, tmp_path / "site", engine=engine)
    found = run_site(folder, program, timeout=TIMEOUT)
    assert found.problems == []
    assert found.images == 6
    assert found.largest_difference is not None and found.largest_difference < 1e-4
