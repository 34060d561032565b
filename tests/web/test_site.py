"""`create_web`, `check_site` and `pocketlens web`."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from PIL import Image

from command_line import output_of, run_command
from pocketlens import web
from pocketlens.coreml import load
from pocketlens.coreml.file.proto import generated
from pocketlens.errors import AppError, OptionError, OutputExistsError
from pocketlens.recipe import load_recipe
from pocketlens.web import check_site, create_web
from pocketlens.web.listing import read_listing
from pocketlens.web.site import OWN, SHARED, SHARED_FILES
from preview.server import means_file, quarters_file
from web.page_modules import answers


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quarters_file(tmp_path_factory.mktemp("model") / "Quarters.mlmodel")


@pytest.fixture(scope="module")
def site(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web") / "site"
    return create_web(model_file, folder, name="Ecken & Kanten")


def test_site_is_complete(site: Path, model_file: Path) -> None:
    assert check_site(site) == []
    written = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    listed = set(json.loads((site / "site.json").read_text())["files"])
    assert written == listed | {"site.json"}
    assert json.loads((site / "recognizer.json").read_text())["classes"] == list(
        load(model_file).classes
    )
    manifest = json.loads((site / "manifest.webmanifest").read_text())
    assert manifest["name"] == "Ecken & Kanten"
    assert manifest["start_url"] == manifest["scope"] == "./"
    assert {icon["src"] for icon in manifest["icons"]} <= written


def test_every_file_that_the_site_refers_to_is_there(site: Path) -> None:
    """Also under a path of its own: no address starts with a slash or names a host."""
    pattern = (
        r"""(?:from |import |src=|href=|fetch\(|content\(|register\(|new URL\()["']([^"'#]+)["']"""
    )
    found = {
        (path, name)
        for path in [*site.rglob("*.js"), site / "index.html"]
        for name in re.findall(pattern, path.read_text())
    }
    assert len(found) > 30
    for path, name in found:
        assert (path.parent / name).is_file(), f"{path.name} refers to {name}"
    text = (site / "index.html").read_text()
    assert "preview" not in text and "web\n" not in text and "<!--" not in text
    assert "<title>Ecken &amp; Kanten</title>" in text
    assert "<script" in text and not re.search(r"<script[^>]*>[^<]", text)  # none inline


def test_modules_are_those_of_the_preview(site: Path) -> None:
    for name in SHARED_FILES:
        assert (site / name).read_bytes() == (SHARED / name).read_bytes()
        assert not (OWN / name).exists(), f"{name} is a copy"


def test_workflow_publishes_the_folder(site: Path) -> None:
    workflow = yaml.safe_load((site / ".github" / "workflows" / "pages.yml").read_text())
    job, steps = workflow["jobs"]["publish"], workflow["jobs"]["publish"]["steps"]
    assert workflow["permissions"] == {}
    assert job["permissions"] == {"contents": "read", "pages": "write", "id-token": "write"}
    used = [step["uses"].split("@")[0] for step in steps]
    assert used[0] == "actions/checkout" and used[-1] == "actions/deploy-pages"
    assert steps[1]["with"] == {"path": "."}  # without .git and .github
    assert ".github" not in (site / "sw.js").read_text()  # the page works without it


def test_a_new_model_changes_the_version(site: Path, model_file: Path, tmp_path: Path) -> None:
    def version(folder: Path) -> str:
        return str(json.loads((folder / "site.json").read_text())["version"])

    same = create_web(model_file, tmp_path / "same", name="Ecken & Kanten")
    other = create_web(quarters_file(tmp_path / "M.mlmodel", idle=1), tmp_path / "other")
    assert version(same) == version(site) != version(other)
    assert (same / "sw.js").read_bytes() == (site / "sw.js").read_bytes()
    assert version(site) in (site / "sw.js").read_text()


def test_force_replaces_a_site_and_keeps_what_was_added(model_file: Path, tmp_path: Path) -> None:
    folder = create_web(model_file, tmp_path / "site")
    with pytest.raises(OutputExistsError, match="already exists"):
        create_web(model_file, folder)
    (folder / "CNAME").write_text("example.org\n")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref\n")
    (folder / "engine" / "notes.txt").write_text("mine")
    outside = tmp_path / "outside"
    outside.write_text("not part of the site")
    (folder / "link").symlink_to(outside)
    (folder / "main.js").write_text("changed")
    # A file that an older version had not written yet; it must not be written through the link.
    listing = json.loads((folder / "site.json").read_text())
    del listing["files"]["pad.js"]
    (folder / "site.json").write_text(json.dumps(listing))
    (folder / "pad.js").unlink()
    (folder / "pad.js").symlink_to(outside)
    create_web(model_file, folder, force=True)
    assert (folder / "engine" / "notes.txt").read_text() == "mine"
    assert (folder / "link").is_symlink()
    assert outside.read_text() == "not part of the site"
    assert (folder / "CNAME").read_text() == "example.org\n"
    assert (folder / ".git" / "HEAD").read_text() == "ref\n"
    assert check_site(folder) == []


def test_force_keeps_what_is_not_given(model_file: Path, tmp_path: Path) -> None:
    def contents(*names: str) -> list[bytes]:
        return [(folder / name).read_bytes() for name in names]

    pictures, url = [Image.new("RGB", (64, 64), "red")], "https://a.example/b/"
    icons = ("icon-192.png", "icon-512.png", "apple-touch-icon.png")
    folder = create_web(model_file, tmp_path / "site", name="My Page", url=url, pictures=pictures)
    drawn = contents(*icons, "index.html")
    create_web(model_file, folder, ink="light", force=True)
    assert contents(*icons, "index.html") == drawn
    assert json.loads((folder / "recognizer.json").read_text())["input"]["ink"] == "light"
    create_web(model_file, folder, url="https://c.example/", force=True)
    options = read_listing(folder).options
    assert options["url"] == "https://c.example/"
    assert (options["name"], options["ink"]) == ("My Page", "light")
    (folder / icons[0]).unlink()
    create_web(model_file, folder, name="Other", force=True)
    assert contents(*icons) != drawn[:3]
    # The list of files may be from anybody.
    listing = json.loads((folder / "site.json").read_text())
    listing["options"] |= {"name": "<b>", "url": 5}
    (folder / "site.json").write_text(json.dumps(listing))
    with pytest.raises(OptionError, match="<b>"):
        create_web(model_file, folder, force=True)


def test_force_does_not_replace_anything_else(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputExistsError, match=r"was not written by Pocketlens \(it has no site"):
        create_web(model_file, tmp_path, force=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_folders_that_are_free_and_those_with_odd_names(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    (clone / ".git").mkdir(parents=True)
    (clone / ".git" / "config").write_text("mine")
    create_web(model_file, clone)  # a repository without files needs no --force
    assert (clone / ".git" / "config").read_text() == "mine"
    assert check_site(clone) == []
    with pytest.raises(OutputExistsError, match="already exists"):
        create_web(model_file, clone)
    monkeypatch.chdir(clone)
    create_web(model_file.absolute(), ".", force=True)
    assert check_site(clone) == []
    (tmp_path / "link").symlink_to(clone)
    with pytest.raises(OutputExistsError, match="link is a link; name the folder"):
        create_web(model_file, tmp_path / "link", force=True)


def test_what_a_person_may_change(model_file: Path, tmp_path: Path) -> None:
    """Only files that the browser loads must be as they were written."""
    site = create_web(model_file, tmp_path / "site")
    (site / "README.md").write_text("mine")
    shutil.rmtree(site / ".github")
    assert check_site(site) == []
    (site / "main.js").write_text("mine")
    assert [problem.split()[0] for problem in check_site(site)] == ["main.js"]


def test_invalid_options(model_file: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="unknown input.ink 'blue'"):
        create_web(model_file, tmp_path / "a", ink="blue")
    with pytest.raises(OptionError):
        create_web(model_file, tmp_path / "b", name="")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_no_image_classifier(tmp_path: Path) -> None:
    file = means_file(tmp_path / "Mean.mlmodel")
    with pytest.raises(AppError, match="is not an image classifier: it is a neural network"):
        create_web(file, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_damaged_sites(site: Path, tmp_path: Path) -> None:
    def damaged(name: str, content: str | None) -> list[str]:
        folder = tmp_path / "site"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(site, folder)
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_text(content)
        return check_site(folder)

    assert damaged("model.bin", None) == [
        "model.bin is missing; write the website again, with --force"
    ]
    assert damaged("pad.js", "x") == [
        "pad.js was changed, so browsers do not keep the page offline; write it again"
    ]
    (changed, reason) = damaged("sw.js", "const FILES = {\n};\n")
    assert changed.startswith("sw.js was changed")
    assert reason == "sw.js lists other files than site.json"
    assert "recognizer.json cannot be read: " in damaged("recognizer.json", "{}")[1]
    for text in ("[]", "{", '{"files": {"../x": "1"}, "version": "1"}', "[" * 100_000):
        with pytest.raises(AppError, match=r"site.json is damaged"):
            damaged("site.json", text)
    with pytest.raises(AppError, match="is not a website written by Pocketlens"):
        check_site(tmp_path)


def test_command(model_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    assert output_of("web", model_file, "-o", folder).startswith(f"wrote {folder} (page 1")
    assert "no problems found; page 1" in output_of("web", "--check", folder, "--no-browser")
    (folder / "main.js").unlink()
    status, out, _ = run_command("web", "--check", folder, "--json")
    assert status == 1
    assert json.loads(out)["problems"] == [
        "main.js is missing; write the website again, with --force"
    ]
    found = json.loads(output_of("web", model_file, "-o", folder, "--force", "--json"))
    assert found["folder"] == str(folder)
    assert found["bytes"]["page"] < 300_000  # without the model; nothing else is loaded
    for words in (
        [],
        [model_file],
        [model_file, "--check", folder],
        ["--check", folder, "--force"],
    ):
        status, _, err = run_command("web", *words)
        assert status == 2, err


def test_what_is_assumed_of_a_foreign_file_is_said(model_file: Path, tmp_path: Path) -> None:
    model = generated("Model_pb2").Model.FromString(model_file.read_bytes())
    model.description.metadata.userDefined.clear()
    foreign, folder = tmp_path / "Foreign.mlmodel", tmp_path / "site"
    foreign.write_bytes(model.SerializeToString())
    assert "assumed, as the file does not say it: " in output_of("web", foreign, "-o", folder)
    told = ("--ink", "light", "--crop", "fit", "--force")
    assert "assumed, as" not in output_of("web", foreign, "-o", folder, *told)
    assert "assumed, as" not in output_of("web", foreign, "-o", folder, "--force")  # said before
    written = json.loads((folder / "recognizer.json").read_text())["input"]
    assert (written["ink"], written["crop"]) == ("light", "fit")


def test_guide(
    model_file: Path, bars_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command of the guide, in order; the run is another one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(web, "find_browser", lambda: None)  # see test_running
    shutil.copyfile(model_file, "model.mlmodel")
    text = (Path(__file__).parents[2] / "docs" / "guides" / "web.md").read_text()
    shutil.copytree(bars_run, "runs/digits")
    (settings,) = re.findall(r"^ +pocketlens run digits --out \S+ --set (.+)$", text, re.MULTILINE)
    assert load_recipe("digits", [settings]).web.enabled
    lines = re.findall(r"(?:^ +|`)pocketlens (web .+?)(?:$|`)", text, re.MULTILINE)
    assert len(lines) == 6
    for line in lines:
        output_of(*shlex.split(re.sub(r"\w+\.mlpackage", "model.mlmodel", line)))
    site = Path("runs/digits/web")
    assert read_listing(site).options["name"] == "Digit Lens"
    there = re.findall(r"^ +(git .+)$", (site / "README.md").read_text(), re.MULTILINE)
    assert re.findall(r"^ +(git .+)$", text, re.MULTILINE) == there
    (code,) = re.findall(r"`pocketlens\.(create_web\(.*?)`", text)
    code = code.replace("Digits.mlpackage", "model.mlmodel").replace('"site"', '"other"')
    assert check_site(eval(code, {"create_web": create_web})) == []


class Texts(HTMLParser):
    """The texts and labels in the body of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page[page.index("<body>") :])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {value for name, value in attrs if name == "aria-label" and value}

    def handle_data(self, data: str) -> None:
        self.found |= {" ".join(data.split())} - {""}


def test_every_text_is_translated(site: Path, tmp_path: Path) -> None:
    page = (site / "index.html").read_text()
    wanted = Texts(page).found - {"Ecken & Kanten", "Z", "R", "+", "-", "0"}
    for path in site.rglob("*.js"):
        for text in re.findall(r"\bt`(.*?)`", path.read_text()):
            first, *parts = re.split(r"\$\{.*?\}(?=[^)]|$)", text)
            wanted.add(first + "".join(f"{{{i}}}{part}" for i, part in enumerate(parts)))
    (languages,) = answers([{"kind": "languages"}], tmp_path)
    assert languages.keys() == {"de", "fr"}
    for texts in languages.values():
        assert texts.keys() == wanted
        for text, translation in texts.items():
            assert sorted(re.findall(r"\{\d\}", text)) == sorted(re.findall(r"\{\d\}", translation))
