"""Smaller Core ML files: the same network, its weights stored in fewer bits.

`Compressor` writes the candidates for a file; `measuring` says what each is worth. The public
function, which also finds the images and learns palettes, is `pocketlens.compress`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.compression import network, program
from pocketlens.conversion.compression.encodings import Encoding
from pocketlens.conversion.compression.fitting import Fitted
from pocketlens.conversion.compression.kinds import KINDS, Kind, encode
from pocketlens.conversion.compression.moments import Moments, observe
from pocketlens.conversion.compression.tidying import tidy
from pocketlens.conversion.package import write_model
from pocketlens.coreml import CoreMLModel
from pocketlens.coreml.file.features import functions_of
from pocketlens.coreml.file.kinds import NETWORKS, kind_name
from pocketlens.coreml.file.package import ModelFile, open_model
from pocketlens.errors import ConversionError, with_article

__all__ = ["Compressor"]

FIRST_IOS = {1: 11, 2: 11, 3: 12, 4: 13, 5: 14, 6: 15, 7: 16, 8: 17, 9: 18, 10: 26}
"""The first iOS version for each specification version."""

PROGRAM_IOS = {5: 15, 6: 16, 7: 17, 8: 18, 9: 26}
"""The iOS version of each opset of an ML Program."""


class Compressor:
    """Writes smaller versions of a Core ML file.

    Args:
        path: The file, an ML Program or a neural network.

    Attributes:
        file: The open file.
        weights: Its weights that can be compressed.
        moments: What they are multiplied with, by their keys, after `observe`.

    Raises:
        ModelFileError, UnsupportedModelError: It cannot be read.
        ConversionError: It cannot be compressed: it is of another kind, is compressed already, has
            several functions, can be trained on the phone, or has no weights.
    """

    def __init__(self, path: Path) -> None:
        self.file: ModelFile = open_model(path)
        kind = self.file.spec.WhichOneof("Type")
        if kind != "mlProgram" and kind not in NETWORKS:
            raise ConversionError(
                f"{path} is {with_article(kind_name(kind))}; only an ML Program (.mlpackage) or a "
                "neural network (.mlmodel) can be compressed"
            )
        self.form: Any = program if kind == "mlProgram" else network
        if self.form.is_compressed(self.file):
            raise ConversionError(
                f"{path} is compressed already; compress the file that it was made from, or "
                "convert the model again"
            )
        if len(functions_of(self.file)) > 1:
            raise ConversionError(
                f"{path} has {len(functions_of(self.file))} functions; only a file with a single "
                "one can be compressed"
            )
        if self.file.spec.isUpdatable:
            raise ConversionError(
                f"{path} can be trained on the phone, which needs its weights as they are; "
                "expected a file that is not updatable"
            )
        self.weights = self.form.weights_of(self.file)
        self.moments: Mapping[str, Moments] = {}
        if not encode(KINDS["palette-4"], self.weights).encodings:
            raise ConversionError(
                f"{path} has no weights that get smaller: "
                f"{sum(each.array.size for each in self.weights)} numbers in "
                f"{len(self.weights)} weights of two dimensions or more"
            )

    @property
    def is_network(self) -> bool:
        """Whether it is a neural network, not an ML Program."""
        return self.form is network

    @property
    def ios(self) -> int:
        """The first iOS version that can run the file."""
        return FIRST_IOS[self.file.spec.specificationVersion]

    def needs(self, kind: Kind) -> int:
        """The first iOS version that can run the file with a kind of compression.

        A program whose own operations are of an older version must be written again for it.
        """
        return self.ios if self.is_network else max(self.ios, kind.ios)

    def can(self, kind: Kind) -> bool:
        """Whether the file can have a kind of compression as it is."""
        if self.is_network:
            return kind.networks
        return kind.ios <= PROGRAM_IOS[program.opset_of(self.file)]

    def observe(self, model: CoreMLModel, images: NDArray[np.uint8]) -> None:
        """Run the loaded file with prepared images `(N, H, W, C)`; the candidates will suit them.

        Raises:
            FeatureError: A run takes longer than the model's time limit.
        """
        self.moments = observe(model, self.weights, images)

    def write(
        self, target: Path, kind: Kind, encodings: Mapping[str, Encoding] | None = None
    ) -> Path:
        """Write a candidate.

        Args:
            target: The file to write; one that exists is replaced.
            kind: The kind of compression.
            encodings: The compressed weights by their keys; None: as `kind` compresses them.
        """
        fitted = (
            encode(kind, self.weights, self.moments) if encodings is None else Fitted(encodings, {})
        )
        spec, content = self.form.with_encodings(self.file, fitted)
        weights = None
        if content is not None:
            tidy(spec)
            weights = target.with_name(f"{target.stem}.bin")
            weights.write_bytes(content)
        write_model(spec, weights, target, force=True)
        return target
