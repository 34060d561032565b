"""Files of the repository as pages of the site, and links from the site to the repository.

The guides link to files as they are in the repository (`../conformance/TABLE.md`), so that they can
be read there, too. In the site, such a link leads to the page of that file; of a file without a
page, the path is shown.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

__all__ = ["PAGES", "texts", "with_figures", "with_site_links"]

INSTALLATION = "installation.md"

PAGES = {
    "README.md": INSTALLATION,
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changelog.md",
    "conformance/TABLE.md": "project/conformance.md",
    "conformance/ONNX_NODES.md": "project/conformance_onnx.md",
    "conformance/tensorflow/TABLE.md": "project/conformance_tensorflow.md",
    "fuzz/README.md": "project/fuzzing.md",
}

LINK = re.compile(r"(?<!!)\[([^\]\n]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
FIGURES = re.compile(r"<!-- figures -->\n(.*?)<!-- /figures -->", re.DOTALL)
FIGURES_HERE = "<!-- the figures of README -->"


def texts(root: Path) -> dict[str, str]:
    """The pages that are files of the repository, by their path in the site."""
    pages = {
        page: _without_references((root / file).read_text(encoding="utf-8"))
        for file, page in PAGES.items()
    }
    # The site has a home page of its own; of README it needs the set-up.
    section = pages[INSTALLATION].partition("\n## Installation\n")[2].partition("\n## ")[0]
    if not section:
        raise ValueError("README.md has no section 'Installation'")
    return {**pages, INSTALLATION: f"# Installation\n{section}\n"}


def _without_references(text: str) -> str:
    """The text in which `[a] [b]` is not a link, as in the reasons of coremltools' own tests."""
    return re.sub(r"\] \[", r"] \\[", text)


def with_figures(markdown: str, root: Path) -> str:
    """The text with the figures of README in place of the mark for them."""
    if FIGURES_HERE not in markdown:
        return markdown
    found = FIGURES.search((root / "README.md").read_text(encoding="utf-8"))
    if found is None:
        raise ValueError("README.md has no figures; run: python benchmarks/table.py")
    figures = LINK.sub(lambda link: f"[{link[1]}](../{link[2]})", found[1])
    return markdown.replace(FIGURES_HERE, figures)


def with_site_links(markdown: str, page: str, root: Path) -> str:
    """The text with links to files of the repository turned into links of the site.

    Args:
        markdown: The text of a page.
        page: The path of the page in the site.
        root: The repository.
    """
    origin = {to: file for file, to in PAGES.items()}.get(page) or f"docs/{page}"

    def replaced(link: re.Match[str]) -> str:
        words, target, anchor = link[1], link[2], link[3] or ""
        file = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        if file in PAGES:
            to = PAGES[file]
        elif file.startswith("docs/"):
            to = file.removeprefix("docs/")
        elif (root / file).exists():
            return words if words.strip("`") == file else f"{words} (`{file}`)"
        else:
            return link[0]  # MkDocs reports it
        return f"[{words}]({posixpath.relpath(to, posixpath.dirname(page) or '.')}{anchor})"

    return LINK.sub(replaced, markdown)
