"""Create a website from a Core ML file."""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pocketlens.app.artwork import ICON_SIZE, MAX_PICTURES, icon, png
from pocketlens.app.create import not_a_classifier
from pocketlens.app.names import AppSpec, suggest_name
from pocketlens.app.spec import RecognizerSpec
from pocketlens.errors import AppError, OptionError, OutputExistsError, UnsupportedModelError
from pocketlens.files import aside, digest, read_limited, refuse_existing
from pocketlens.image import ImageSource, InputSpec, prepare
from pocketlens.web.engines import Engine, choose_engine
from pocketlens.web.examples import examples
from pocketlens.web.listing import (
    EXAMPLES,
    LISTING,
    NOT_LOADED,
    README,
    WORKER,
    WORKFLOW,
    Listing,
    read_listing,
)
from pocketlens.web.options import check_web_options, of_folder
from pocketlens.web.policy import POLICY

if TYPE_CHECKING:
    import onnx
    from PIL import Image

    from pocketlens.coreml import CoreMLModel

__all__ = ["create_web"]

OWN = Path(__file__).parent / "page"
SHARED = Path(__file__).parent.parent / "preview" / "page"
SHARED_FILES = (
    "camera.js",
    "crop.js",
    "dom.js",
    "draw.js",
    "frames.js",
    "guides.js",
    "images.js",
    "number.js",
    "pad.js",
    "photo.css",
    "photo.js",
    "results.js",
    "style.css",
    "tabs.js",
    "views.js",
)
"""The files of the preview's page that the site uses as they are."""

MAX_ICON = 10_000_000  # bytes
ICONS = {"icon-192.png": 192, "icon-512.png": 512, "apple-touch-icon.png": 180}
THEMES = {"light": "#f4f6f9", "dark": "#0e131c"}  # the backgrounds of style.css


def create_web(
    file: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    ink: str | None = None,
    crop: str | None = None,
    pictures: Sequence[ImageSource] = (),
    engine: str = "auto",
    engine_files: str | os.PathLike[str] | None = None,
    url: str | None = None,
    force: bool = False,
) -> Path:
    """Write a website that runs a Core ML image classifier in the browser.

    The folder is complete: any web server can serve it, under any path. Nothing is sent anywhere;
    after the first visit over HTTPS the page also works offline.

    Args:
        file: A `.mlpackage` or `.mlmodel` with one image input and a class label as output.
        folder: The folder to write.
        name: The page's title, at most 40 letters, digits, spaces and common punctuation. Default:
            derived from the file name.
        ink: The lines of drawings, `dark` or `light`. Default: as the file says.
        crop: How images are cropped: `center-crop`, `fit` or `fill`. Default: as the file says.
        pictures: Up to four pictures for the icon: paths, Pillow images or arrays. Default: the
            icon has the first letter of the name.
        engine: What runs the model in the browser: `pocketlens`, the page's own engine of a few
            KB, `onnxruntime`, which is onnxruntime-web (14 MB) with all operators, or `auto`: the
            page's own if it has all operators of the model.
        engine_files: The npm package of onnxruntime-web, as `npm pack` writes it. Default: npm
            downloads it if it is needed, once, to the cache folder.
        url: The address where you will publish it, for the report of a run.
        force: Overwrite a website that was written to this folder before. The name, ink, crop,
            pictures and url keep their earlier values if they are not given. Files that you added
            are kept.

    Returns:
        The folder.

    Raises:
        OptionError: An invalid name, ink, crop, engine or url.
        ImageError: A picture cannot be read.
        AppError: The file is not an image classifier, or onnxruntime-web cannot be downloaded.
        UnsupportedOp: The engine is `pocketlens`, and it lacks an op of the model.
        UnsupportedModelError: The model cannot run in the browser for another reason.
        OutputExistsError: The folder exists, and `force` is False or the folder is not a website
            written by Pocketlens.
        OutputError: The folder cannot be written.
        ModelFileError: The file is damaged.
    """
    from PIL import Image

    file, folder = Path(file), Path(folder)
    free = _is_free(folder)
    before = None if free else _earlier(folder)
    if before and not force:
        refuse_existing(folder)
    kept = _added_files(folder, before) if before else [".git"] * (folder / ".git").exists()
    given = {"name": name, "ink": ink, "crop": crop, "url": url}
    given["icon"] = "pictures" if pictures else None
    options = dict(before.options) if before else {}
    options |= {key: value for key, value in given.items() if value is not None}
    options.setdefault("name", suggest_name(file.name))
    if problems := check_web_options(options["name"], options.get("url")):
        raise OptionError("; ".join(problems))
    if "url" in options:
        options["url"] = of_folder(options["url"])
    title = AppSpec(options["name"]).title
    shown = [
        Image.fromarray(prepare(each, InputSpec(ICON_SIZE, ICON_SIZE, "rgb")))
        for each in pictures[:MAX_PICTURES]
    ]
    model, graph = _model(file, ink=options.get("ink"), crop=options.get("crop"))
    chosen = choose_engine(graph, str(file), engine, engine_files)
    if "icon" in options and not shown and all((folder / name).is_file() for name in ICONS):
        icons = {name: read_limited(folder / name, MAX_ICON) for name in ICONS}
    else:
        icons = _icons(title, shown)
    about = {"options": options, "made_from": {"model": digest(file)}}
    spec = RecognizerSpec.of(title, model)
    contents = _contents(spec, chosen, icons, examples(model, graph), about)
    with aside(folder, force=force or free) as new:
        new.mkdir()
        for path in kept:
            if not any(each == path or each.startswith(f"{path}/") for each in contents):
                _copy(folder / path, new / path)
        for name, content in contents.items():
            target = new / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    return folder


def _model(file: Path, *, ink: str | None, crop: str | None) -> tuple[CoreMLModel, onnx.ModelProto]:
    """The model, and its graph from an image to probabilities."""
    from pocketlens.coreml import inspect, load
    from pocketlens.coreml.file.time_limit import default_time_limit
    from pocketlens.coreml.graph.export import onnx_model

    model = load(file, time_limit=default_time_limit())
    kinds = [feature.kind for feature in model.interface.inputs]
    if kinds != ["image"] or not model.classes:
        raise AppError(not_a_classifier(file, inspect(file)))
    told = {key: value for key, value in (("ink", ink), ("crop", crop)) if value is not None}
    if told:
        model = model.with_input(**told)
    within = model._probabilities_in_graph()
    if within is None:
        raise UnsupportedModelError(
            f"{file} ({model.kind}) cannot run in the browser: it does not run as one ONNX graph; "
            "expected an ML Program or a neural network"
        )
    graph, value = within
    return model, onnx_model(graph, [value])


def _icons(title: str, pictures: Sequence[Image.Image]) -> dict[str, bytes]:
    """The icon in each size, by file name."""
    from PIL import Image

    image = icon(title[0].upper(), pictures=pictures)
    return {
        name: png(image.resize((side, side), Image.Resampling.LANCZOS))
        for name, side in ICONS.items()
    }


def _contents(
    spec: RecognizerSpec,
    engine: Engine,
    icons: Mapping[str, bytes],
    answers: bytes,
    about: Mapping[str, Any],
) -> dict[str, bytes]:
    """All files of the site, by path. `about` is added to the list of files."""
    files = {name: (SHARED / name).read_bytes() for name in SHARED_FILES}
    files |= {path.name: path.read_bytes() for path in sorted(OWN.glob("*.js"))}
    files |= icons
    files |= {
        "index.html": _page(spec.name).encode(),
        "manifest.webmanifest": _manifest(spec.name).encode(),
        "recognizer.json": spec.to_json().encode(),
        **engine.files,
    }
    worker = files.pop(WORKER)
    hashes = {path: hashlib.sha256(files[path]).hexdigest() for path in sorted(files)}
    version = hashlib.sha256(json.dumps(hashes).encode() + worker).hexdigest()[:16]
    head = f'const VERSION = "{version}";\nconst FILES = {json.dumps(hashes, indent=1)};\n\n'
    files[WORKER] = head.encode() + worker
    files[WORKFLOW] = (OWN / "pages.yml").read_bytes()
    files[EXAMPLES] = answers
    files[README] = (OWN / README).read_text(encoding="utf-8").replace("TITLE", spec.name).encode()
    hashes |= {path: hashlib.sha256(files[path]).hexdigest() for path in (WORKER, *NOT_LOADED)}
    listing = {
        "about": "Written by Pocketlens. With --force, only these files are replaced.",
        "version": version,
        "engine": engine.name,
        **({"reason": engine.reason} if engine.reason else {}),
        "files": dict(sorted(hashes.items())),
        **about,
    }
    return files | {LISTING: (json.dumps(listing, indent=1) + "\n").encode()}


def _page(title: str) -> str:
    """The preview's page without its parts that need a server, and with the site's own."""
    text = (SHARED / "index.html").read_text(encoding="utf-8")
    text = re.sub(r"[ \t]*<!-- preview -->.*?<!-- /preview -->\n?", "", text, flags=re.DOTALL)
    text = re.sub(r"[ \t]*<!-- web\n(.*?)[ \t]*/web -->\n?", r"\1", text, flags=re.DOTALL)
    text = re.sub(r'<section id="corrections".*?</section>\n', "", text, flags=re.DOTALL)
    name = html.escape(title)
    text = text.replace('<h1 id="title"></h1>', f'<h1 id="title">{name}</h1>')
    text = text.replace(">Connecting</p>", ">Loading the model</p>")
    head = "\n".join(
        f"  {line}"
        for line in (
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="referrer" content="no-referrer">',
            *(
                f'<meta name="theme-color" content="{color}" '
                f'media="(prefers-color-scheme: {scheme})">'
                for scheme, color in THEMES.items()
            ),
            f"<title>{name}</title>",
            '<link rel="icon" href="icon-192.png" type="image/png">',
            '<link rel="apple-touch-icon" href="apple-touch-icon.png">',
            '<link rel="manifest" href="manifest.webmanifest">',
        )
    )
    viewport = re.search(r'  <meta name="viewport"[^\n]*\n', text)
    assert viewport
    return text[: viewport.end()] + head + "\n" + text[viewport.end() :]


def _manifest(title: str) -> str:
    """The web app manifest, with which the page is installed to the home screen."""
    values = {
        "name": title,
        "short_name": title,
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": THEMES["light"],
        "theme_color": THEMES["light"],
        "icons": [
            {"src": name, "sizes": f"{side}x{side}", "type": "image/png"}
            for name, side in ICONS.items()
        ],
    }
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


def _earlier(folder: Path) -> Listing | None:
    """The list of files of the website that was written to this folder before.

    Raises:
        OutputExistsError: The folder has something else than a website.
    """
    if not os.path.lexists(folder):
        return None
    if folder.is_symlink():
        raise OutputExistsError(f"{folder} is a link; name the folder that it leads to")
    if not (folder / LISTING).is_file():
        raise OutputExistsError(
            f"{folder} was not written by Pocketlens (it has no {LISTING}), and is left as it is, "
            "also with --force; choose a new or empty folder"
        )
    return read_listing(folder)


def _is_free(folder: Path) -> bool:
    """Whether a folder is empty, or a repository without files."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return all(path.name == ".git" for path in folder.iterdir())


def _added_files(folder: Path, before: Listing) -> list[str]:
    """What a person has added to the website in this folder, such as `CNAME` or `.git`."""
    written = {*before.files, LISTING}
    own_folders = {str(parent) for path in written for parent in PurePosixPath(path).parents}

    def added(place: Path) -> Iterator[str]:
        for path in sorted(place.iterdir()):
            name = path.relative_to(folder).as_posix()
            if name in own_folders and path.is_dir() and not path.is_symlink():
                yield from added(path)
            elif name not in written:
                yield name

    return list(added(folder))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target, follow_symlinks=False)
