"""A run's folder -> one self-contained `report.html`.

`page.py` collects the contents of the page, `templates/` contains its layout and style.
`figures.py` draws the figures that a run saves in `figures/`, `suite_figures.py` those of the
evaluation suite.
"""

from pocketlens.report.page import write_report

__all__ = ["write_report"]
