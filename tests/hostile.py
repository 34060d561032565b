"""Text that a terminal obeys, turns round or hides, and a model that is full of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pocketlens.coreml.file.proto import generated
from pocketlens.errors import printable

HOSTILE = {
    "escape sequence": "\x1b[31mred\x1b[0m",
    "clipboard": "\x1b]52;c;cm0gLXJm\x07",
    "title": "\x1b]0;title\x9c",
    "carriage return": "bad\rgood",
    "line break": "bad\npocketlens: error: good",
    "backspace": "bad\b\b\bgood",
    "bell and null": "a\x07b\x00c",
    "delete": "a\x7fb",
    "C1": "a\x9b31mb\x85c\x9d0;d\x9c",
    "bidi override": "\u202egpj.exe\u202c",
    "bidi isolate": "\u2066a\u2067b\u2068c\u2069d",
    "bidi marks": "a\u200eb\u200fc\u061cd",
    "line separators": "a\u2028b\u2029c",
    "tags": "a\U000e0041\U000e007fb",
    "zero width": "a\u200bb\u200cc\u200dd\u2060e\ufefff\u00adg",
    "invisible letters": "a\u115fb\u3164c\u2800d\u034fe\u180ef",
    "noncharacters": "a\ufffeb\ufdd0c\U000e0fffd",
}
SURROGATES = "a\ud83db\udcffc"
"""Not in a file, which is UTF-8, but in the name of one that is not."""

ALL = "|".join(HOSTILE.values())
FILE_NAME = "x\x1b[31m\x1b]52;c;eA==\x07\r\n\x7f\x9b\u202e\u2028\U000e0041\udcff[bold][link=http:x]"
"""A name that a file can have on Linux."""


def is_clean(text: str) -> bool:
    """Whether a text has no control or invisible characters except for line breaks."""
    return all(printable(line) == line for line in text.split("\n"))


def hostile_model(path: Path, *, size: int = 12) -> Path:
    """A classifier of gray images whose every text is hostile; it runs here."""
    labels = list(HOSTILE.values())
    spec: Any = generated("Model_pb2").Model(specificationVersion=4)
    about = spec.description
    picture = about.input.add(name="image", shortDescription=ALL)
    picture.type.imageType.width = picture.type.imageType.height = size
    picture.type.imageType.colorSpace = 10
    about.output.add(
        name="probs", shortDescription=ALL
    ).type.dictionaryType.stringKeyType.SetInParent()
    about.output.add(name="label", shortDescription=ALL).type.stringType.SetInParent()
    about.predictedFeatureName, about.predictedProbabilitiesName = "label", "probs"
    for field in ("shortDescription", "author", "license", "versionString"):
        setattr(about.metadata, field, ALL)
    about.metadata.userDefined[ALL] = ALL
    network = spec.neuralNetworkClassifier
    network.stringClassLabels.vector.extend(labels)
    network.labelProbabilityLayerName = "probs"
    network.arrayInputShapeMapping = network.imageInputShapeMapping = 1
    flat = network.layers.add(name=ALL, input=["image"], output=["flat"])
    flat.reshapeStatic.targetShape.extend([1, size * size])
    dense = network.layers.add(name=f"{ALL}2", input=["flat"], output=["scores"])
    dense.innerProduct.inputChannels, dense.innerProduct.outputChannels = size * size, len(labels)
    random = np.random.default_rng(0)
    dense.innerProduct.weights.floatValue.extend(random.normal(0, 1e-3, size**2 * len(labels)))
    last = network.layers.add(name=f"{ALL}3", input=["scores"], output=["probs"])
    last.softmaxND.axis = -1
    path.write_bytes(spec.SerializeToString())
    return path
