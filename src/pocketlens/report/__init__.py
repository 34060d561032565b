"""A run's folder -> one self-contained `report.html`.

`reading.py` reads and checks the folder, `page.py` says what is on the page, `templates/` how it
looks; `figures.py` draws the figures that a run keeps in `figures/`.
"""

from pocketlens.report.page import write_report

__all__ = ["write_report"]
