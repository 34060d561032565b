"""Why a classifier gives an image a label: which parts of the image speak for it.

    model = pocketlens.load("Cats.mlpackage")
    found = pocketlens.explain(model, "photo.jpg")
    found.map                                # (7, 7), positive where the image speaks for it

`explain` describes the methods. `tail` finds the last feature map in a Core ML file, `gradients`
has the derivatives of the operators after it, `occlusion` needs neither, `heat` colors the map.
"""

from __future__ import annotations

from pocketlens.explanation.explain import METHODS, Explanation, explain

__all__ = ["METHODS", "Explanation", "explain"]
