"""Downloads from a local server that cuts off, sends wrong ranges, hangs or ignores ranges."""

from __future__ import annotations

import gzip
import random
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pocketlens.data import download_data, load_data, resolve
from pocketlens.data.download import fetch
from pocketlens.errors import DataError, DataNotFoundError, OptionError, OutputError

Serve = Callable[..., Any]
CONTENT = random.Random(0).randbytes(300_000)
LIMIT = 400_000


def check(path: Path) -> None:
    if path.read_bytes() != CONTENT:
        raise DataError("the content is wrong")


def get(folder: Path, *sites: Any, **options: Any) -> Path:
    settings = {"limit": LIMIT, "check": check, "read_seconds": 5.0, **options}
    return fetch("file", folder, mirrors=[site.url for site in sites], **settings)


def assert_complete(folder: Path) -> None:
    assert (folder / "file").read_bytes() == CONTENT
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_simple_download(tmp_path: Path, serve: Serve) -> None:
    seen: list[tuple[str, int, int | None]] = []
    site = serve(files={"/file": CONTENT})
    folder = tmp_path / "new" / "folder"
    path = get(folder, site, progress=lambda *step: seen.append(step))
    assert path == folder / "file"
    assert_complete(folder)
    assert seen[-1] == ("file", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_server_without_content_length(tmp_path: Path, serve: Serve) -> None:
    seen: list[tuple[str, int, int | None]] = []
    site = serve(files={"/file": CONTENT}, lengths=False)
    get(tmp_path, site, progress=lambda *step: seen.append(step))
    assert_complete(tmp_path)
    assert seen[-1] == ("file", len(CONTENT), None)


def test_interrupted_transfer_is_resumed(tmp_path: Path, serve: Serve) -> None:
    site = serve(files={"/file": CONTENT}, cut={"/file": 200_000})
    get(tmp_path, site)
    assert_complete(tmp_path)
    assert site.requests == [("/file", None), ("/file", "bytes=200000-")]


def test_later_call_resumes_the_part_file(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:1234])
    site = serve(files={"/file": CONTENT})
    get(tmp_path, site)
    assert_complete(tmp_path)
    assert site.requests == [("/file", "bytes=1234-")]


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
def test_link_in_the_place_of_a_part_file_is_not_followed(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "file.part").symlink_to("precious")
    site = serve(files={"/file": CONTENT})
    get(tmp_path, site)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert not (tmp_path / "file").is_symlink()
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert site.requests == [("/file", None)]


def test_server_without_ranges_sends_the_whole_file_again(tmp_path: Path, serve: Serve) -> None:
    site = serve(files={"/file": CONTENT}, cut={"/file": 200_000}, ranges=False)
    get(tmp_path, site)
    assert_complete(tmp_path)
    assert len(site.requests) == 2


def test_part_file_with_other_content_is_discarded(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "file.part").write_bytes(b"from another mirror")
    site = serve(files={"/file": CONTENT})
    get(tmp_path, site)
    assert_complete(tmp_path)
    assert site.requests == [("/file", "bytes=19-"), ("/file", None)]


@pytest.mark.parametrize("part", [CONTENT, CONTENT + b"too long"], ids=["complete", "too long"])
def test_part_file_that_is_already_as_long_as_the_file(
    tmp_path: Path, serve: Serve, part: bytes
) -> None:
    (tmp_path / "file.part").write_bytes(part)
    get(tmp_path, serve(files={"/file": CONTENT}))
    assert_complete(tmp_path)


def test_second_mirror_is_used_when_the_first_fails(tmp_path: Path, serve: Serve) -> None:
    first = serve(files={"/file": CONTENT}, cut={"/file": 0})
    second = serve(files={"/file": CONTENT})
    get(tmp_path, first, second)
    assert_complete(tmp_path)


FAILURES = [
    ({"files": {}}, "HTTP status 404"),
    ({"files": {"/file": b"<html>log in first</html>"}}, "the content is wrong"),
    ({"files": {"/file": bytes(LIMIT + 1)}}, f"expected at most {LIMIT}"),
    ({"files": {"/file": bytes(LIMIT + 1)}, "lengths": False}, f"expected at most {LIMIT}"),
    ({"hang": True}, "timed out"),
]


@pytest.mark.parametrize(("behavior", "reason"), FAILURES)
def test_failures_of_a_mirror(
    tmp_path: Path, serve: Serve, behavior: dict[str, Any], reason: str
) -> None:
    bad, good = serve(**behavior), serve(files={"/file": CONTENT})
    with pytest.raises(DataNotFoundError, match=re.escape(f"({bad.url}: ")) as caught:
        get(tmp_path, bad, read_seconds=0.2)
    assert reason in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    get(tmp_path, bad, good, read_seconds=0.2)
    assert_complete(tmp_path)


def test_response_with_another_range_is_rejected(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:10])
    with pytest.raises(DataNotFoundError, match="sent a different part of the file than requested"):
        get(tmp_path, serve(files={"/file": CONTENT}, wrong_range=True))
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:10]


def test_unreachable_server_and_no_mirror(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"127\.0\.0\.1:9/: .*refused"):
        fetch("file", tmp_path, mirrors=["http://127.0.0.1:9/"], limit=LIMIT, check=check)
    with pytest.raises(DataNotFoundError, match="no mirror is known"):
        fetch("file", tmp_path, mirrors=[], limit=LIMIT, check=check)


def test_folder_that_cannot_be_written(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "occupied").write_text("a file")
    with pytest.raises(
        OutputError, match=r"occupied.* cannot be written: .*set POCKETLENS_DATA to"
    ):
        get(tmp_path / "occupied", serve(files={"/file": CONTENT}))


@pytest.fixture
def mirror(
    tiny_mnist: dict[str, bytes], serve: Serve, set_mirrors: Callable[..., None]
) -> dict[str, bytes]:
    """A server with the tiny MNIST as the only mirror."""
    files = {f"/{name}.gz": gzip.compress(content) for name, content in tiny_mnist.items()}
    set_mirrors(serve(files=files).url, "mnist")
    return tiny_mnist


def test_mnist_is_downloaded_when_it_is_missing(mirror: dict[str, bytes], tmp_path: Path) -> None:
    assert resolve("auto", folder=tmp_path).name == "mnist"
    assert len(load_data("mnist", split="test", folder=tmp_path)) == 20
    names = sorted(path.name for path in (tmp_path / "mnist").iterdir())
    assert names == sorted(f"{name}.gz" for name in mirror)


def test_download_replaces_only_damaged_files(mirror: dict[str, bytes], tmp_path: Path) -> None:
    folder = download_data("mnist", folder=tmp_path)
    assert folder == tmp_path / "mnist"
    good, bad, plain = sorted(folder.iterdir())[:3]
    stamp = good.stat().st_mtime_ns
    bad.write_bytes(b"damaged")
    plain.unlink()
    plain.with_suffix("").write_bytes(b"damaged too")
    with pytest.raises(DataError, match="download it again with: pocketlens data download mnist"):
        load_data("mnist", folder=tmp_path)
    download_data("mnist", folder=tmp_path)
    assert good.stat().st_mtime_ns == stamp
    assert len(load_data("mnist", folder=tmp_path)) == 40
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{n}.gz" for n in mirror)


def test_wrong_content_from_all_mirrors(
    tiny_mnist: dict[str, bytes], serve: Serve, set_mirrors: Callable[..., None], tmp_path: Path
) -> None:
    page = serve(files={f"/{name}.gz": b"<html>log in</html>" for name in tiny_mnist})
    set_mirrors(page.url, "mnist")
    with pytest.raises(DataNotFoundError, match="is a web page, not the file itself"):
        load_data("mnist", folder=tmp_path)
    assert not (tmp_path / "mnist").exists()


def test_only_mnist_can_be_downloaded(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="'strokes' has nothing to download; expected one of"):
        download_data("strokes", folder=tmp_path)


@pytest.mark.parametrize("headers", [False, True], ids=["content", "headers"])
def test_a_mirror_that_drips_bytes_ends_at_the_time_limit(
    tmp_path: Path, serve: Serve, headers: bool
) -> None:
    """Each byte comes long before the read timeout, so only a total limit ends it."""
    slow = serve(files={"/file": CONTENT}, drip=0.02, drip_headers=headers)
    with pytest.raises(DataNotFoundError, match=r"it took more than 0\.5 seconds"):
        get(tmp_path, slow, total_seconds=0.5)
    assert len(slow.requests) == 1  # not tried again: the time is over
    get(tmp_path, slow, serve(files={"/file": CONTENT}), total_seconds=0.5)
    assert_complete(tmp_path)


def test_a_mirror_that_is_too_slow_is_left_for_the_next(tmp_path: Path, serve: Serve) -> None:
    slow = serve(files={"/file": CONTENT}, drip=0.02)
    with pytest.raises(DataNotFoundError, match=r"too slow: \d+ bytes per second; expected at"):
        get(tmp_path, slow, rate_seconds=0.3)
    get(tmp_path, slow, serve(files={"/file": CONTENT}), rate_seconds=0.3)
    assert_complete(tmp_path)
    get(tmp_path, serve(files={"/file": CONTENT}), rate_seconds=0.0)  # a fast one never is


def test_two_processes_download_the_files_once(
    tmp_path: Path, serve: Serve, tiny_mnist: dict[str, bytes], set_mirrors: Callable[..., None]
) -> None:
    """The second waits for the first, and finds its files."""
    files = {f"/{name}.gz": gzip.compress(content) for name, content in tiny_mnist.items()}
    site = serve(files=files)
    set_mirrors(site.url, "mnist")
    errors: list[BaseException] = []

    def download() -> None:
        try:
            download_data("mnist", folder=tmp_path)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=download) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(path for path, _ in site.requests) == sorted(files)
    assert sorted(path.name for path in (tmp_path / "mnist").iterdir()) == sorted(
        name.removeprefix("/") for name in files
    )
