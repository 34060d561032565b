"""What MkDocs calls while it builds the site: adds the generated pages, mends links, adds figures.

The reference pages are generated from the code each time, so they cannot be out of date.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import api_pages
import command_page
import notebook_page
import recipe_page
import repository_pages
import sources_page
import table_pages

ROOT = Path(__file__).parents[2]

PAGES: dict[str, Callable[[], str]] = {
    "reference/recipe.md": recipe_page.text,
    "reference/commands.md": command_page.text,
    "reference/ops.md": table_pages.ops,
    "reference/run_folder.md": table_pages.run_folder,
    "reference/errors.md": table_pages.errors,
    "reference/sources.md": lambda: sources_page.text(ROOT),
    "notebook.md": lambda: notebook_page.text(ROOT / "docs" / "tutorial.ipynb"),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {name: make() for name, make in PAGES.items()}
    pages |= api_pages.texts()
    pages |= repository_pages.texts(ROOT)
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Replace the mark for the figures, and links to files of the repository."""
    markdown = repository_pages.with_figures(markdown, ROOT)
    return repository_pages.with_site_links(markdown, page.file.src_uri, ROOT)
