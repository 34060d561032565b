"""The website of a run: the stage `web`, and `pocketlens web RUN`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from command_line import error_of, output_of
from pocketlens import web
from pocketlens.callbacks import Callback
from pocketlens.errors import RecipeError, UnsupportedOp
from pocketlens.pipeline import check, run
from pocketlens.qr_code import qr_image
from pocketlens.run_contents import STAGES, WEB_LISTING, Stage
from pocketlens.run_folder import Run, read_run
from pocketlens.run_state import remove_run
from pocketlens.web import check_site
from pocketlens.web.listing import LISTING, read_listing

ADDRESS = "https://name.github.io/bars/"


class Recorder(Callback):
    def __init__(self) -> None:
        self.repeated: list[str] = []

    def stage(self, name: str, *, done: bool) -> None:
        if not done:
            self.repeated.append(name)


@pytest.fixture
def folder(bars_run: Path, tmp_path: Path) -> Path:
    """A finished run without a website."""
    return Path(shutil.copytree(bars_run, tmp_path / "bars"))


def continued(folder: Path, until: Stage = "report", **values: Any) -> tuple[Run, list[str]]:
    """The run after a change in `web`, and the stages that were run."""
    recorder = Recorder()
    overrides = {f"web.{key}": value for key, value in values.items()}
    recipe = folder / "recipe.toml"
    done = run(recipe, out=folder, overrides=overrides, callbacks=[recorder], until=until)
    return done, recorder.repeated


def test_a_finished_run_gets_a_website(folder: Path) -> None:
    assert read_run(folder).web is None
    done, repeated = continued(folder, enabled=True, url=ADDRESS)
    assert repeated == ["web", "report"]
    assert done.web == folder / "web"
    assert done.missing == ()
    assert tuple(done.stages) == STAGES
    assert (done.web / LISTING) == folder / WEB_LISTING
    assert check_site(done.web) == []
    assert read_listing(done.web).options == {"name": "Bars", "url": ADDRESS}
    page = (folder / "report.html").read_text()
    assert f'src="{qr_image(ADDRESS)}" alt="QR code of {ADDRESS}"' in page
    assert f'<a href="{ADDRESS}">' in page
    assert "write the website" in page
    assert continued(folder)[1] == []
    said = output_of("run", folder / "recipe.toml", "-o", folder)
    assert f"Website{done.web}" in "".join(said.split())

    (done.web / "CNAME").write_text("example.org")
    assert continued(folder, name="My Bars")[1] == ["web", "report"]
    assert (done.web / "CNAME").read_text() == "example.org"
    assert read_listing(done.web).options["name"] == "My Bars"
    shutil.rmtree(done.web)
    assert "web" in read_run(folder).missing
    assert continued(folder)[1] == ["web", "report"]
    assert continued(folder, enabled=False)[1] == ["report"]


def test_a_website_of_another_model_does_not_count(folder: Path) -> None:
    continued(folder, "web", enabled=True)
    (folder / "web" / "CNAME").write_text("example.org")
    output_of("convert", folder, "--precision", "float32", "--force")
    assert read_run(folder).web is None
    assert "http.server" not in Path(output_of("report", folder).split()[-1]).read_text()
    # A new run in the same folder, too: what was added to the website stays.
    recipe = read_run(folder).recipe
    remove_run(folder)
    assert [path.name for path in folder.iterdir()] == ["web"]
    assert run(recipe, out=folder, until="data").data
    assert (folder / "web" / "CNAME").is_file()


def test_errors_before_the_first_stage() -> None:
    with pytest.raises(RecipeError) as caught:
        check("quick", {"web.url": "github.io/bars", "web.name": "a/b", "web.enable": True})
    assert [each.partition(";")[0] for each in caught.value.errors] == [
        "unknown key web.enable",
    ]
    with pytest.raises(RecipeError) as caught:
        check("quick", {"web.url": "github.io/bars", "web.name": "a/b"})
    name, url = caught.value.errors
    assert "a/b" in name
    assert url.startswith("the address of the website must start with https:// or http:// and")


def test_a_run_continues_without_a_website(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Path:
        raise UnsupportedOp("the page's engine has no Celu")

    monkeypatch.setattr(web, "create_web", refuse)
    with pytest.raises(UnsupportedOp, match="no Celu; to finish the run without it: pocketlens"):
        continued(folder, enabled=True)
    assert continued(folder, enabled=False)[1] == ["report"]


def test_command(folder: Path, tmp_path: Path) -> None:
    out = output_of("web", folder, "--url", ADDRESS)
    assert f"wrote {folder / 'web'} (page" in out
    assert f"wrote {folder / 'report.html'}" in out
    assert "python -m http.server --directory" in out
    assert "\N{FULL BLOCK}" * 20 in out  # the border of the QR code
    assert qr_image(ADDRESS) in (folder / "report.html").read_text()
    assert "already exists" in error_of("web", folder)
    found = json.loads(output_of("web", folder, "--force", "--name", "Other", "--json"))
    assert found["url"] == ADDRESS
    assert found["report"] == str(folder / "report.html")
    output_of("web", folder, "--force")
    assert read_listing(folder / "web").options == {"name": "Other", "url": ADDRESS}
    text = output_of("web", folder, "-o", tmp_path / "site", "--url", "http://10.0.0.1:8000")
    assert "report.html" not in text
    assert "only on https:// pages" in text
    assert "README.md" in output_of("web", folder / "Bars.mlpackage", "-o", tmp_path / "other")
    for url, rule in (
        *((url, "start with https:// or") for url in ("", "ftp://a.b", "javascript:1", "https://")),
        ("https://a b", "have no spaces"),
        ("https://u:p@a.b", "have no user name"),
        ("https://a.b:99999/", "have a port from 0 to 65535"),
        ("https://a..b/", "have a valid host"),
        ("https://-/", "have a valid host"),
        ("https://[x", "start with https:// or"),
        ("https://a.b/?c#d", "have no ? and no #"),
        ("https://a.b/" + 500 * "c", "have at most 500 characters"),
    ):
        assert f"must {rule}" in error_of("web", folder, "--url", url, "--force")
    output_of("web", folder, "--url", "https://a.b/digits", "--force")
    assert read_listing(folder / "web").options["url"] == "https://a.b/digits/"
