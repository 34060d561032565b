"""What one trial of a sweep does, on whatever machine it runs: train, convert, measure."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlens.callbacks import Callback
from pocketlens.errors import PocketlensError, printable
from pocketlens.files import size_on_disk, size_text
from pocketlens.prediction import NOTHING
from pocketlens.recipe import Recipe, load_recipe
from pocketlens.scale.search import Dimension

if TYPE_CHECKING:
    from pocketlens.data import Dataset
    from pocketlens.history import Epoch
    from pocketlens.recognizer import Recognizer

__all__ = ["Budget", "Report", "recipe_at", "try_recipe"]

Report = Callable[[dict[str, Any]], None]
"""Takes the results so far; may stop the process."""


@dataclass(frozen=True)
class Budget:
    """What the Core ML file may cost; None for no limit.

    Args:
        bytes: The largest size.
        milliseconds: The longest time per image, one image at a time.
    """

    bytes: int | None = None
    milliseconds: float | None = None

    def excess(self, size: int, milliseconds: float) -> tuple[float, str]:
        """How far a file is over the budget: the largest ratio less 1, and why; 0 if it is not."""
        over = []
        if self.bytes is not None and size > self.bytes:
            text = f"{size_text(size)}, over {size_text(self.bytes)}"
            over.append((size / self.bytes - 1, text))
        if self.milliseconds is not None and milliseconds > self.milliseconds:
            text = f"{milliseconds:.3g} ms an image, over {self.milliseconds:g} ms"
            over.append((milliseconds / self.milliseconds - 1, text))
        return max((ratio for ratio, _ in over), default=0.0), "; ".join(text for _, text in over)

    def __bool__(self) -> bool:
        return self.bytes is not None or self.milliseconds is not None


def recipe_at(
    recipe: Recipe, space: tuple[Dimension, ...], coordinates: Mapping[str, float]
) -> Recipe:
    """The recipe at a place of the search space.

    Raises:
        RecipeError: The values do not go together.
    """
    values = {each.key: each.value(coordinates[each.key]) for each in space}
    return load_recipe(recipe, values)


def try_recipe(
    coordinates: Mapping[str, float],
    *,
    text: str,
    space: tuple[Dimension, ...],
    held: float,
    budget: Budget,
    report: Report,
) -> None:
    """Train one recipe, convert it, and measure the Core ML file.

    Every call of `report` has the key `score`, which is to be maximized, and the fields of a
    `Trial` that are known so far.

    Args:
        coordinates: The place in the search space.
        text: The recipe as TOML.
        space: The search space.
        held: The share of the training images that the training does not see, in [0, 1).
        budget: What the file may cost.
        report: Called after each epoch, and with the result.
    """
    started, processor = time.perf_counter(), time.process_time()
    found: dict[str, Any] = {"epochs": []}

    def tell(score: float, **fields: Any) -> None:
        found.update(fields)
        found["seconds"] = time.perf_counter() - started
        found["processor_seconds"] = time.process_time() - processor
        report({"score": score, **found})

    try:
        recipe = recipe_at(Recipe.from_toml(text), space, coordinates)
        _try(recipe, held, budget, found, tell)
    except PocketlensError as error:
        tell(-1.0, state="failed", reason=printable(str(error)))
    finally:
        gc.collect()  # the process tries the next recipe


def _try(
    recipe: Recipe,
    held: float,
    budget: Budget,
    found: dict[str, Any],
    tell: Callable[..., None],
) -> None:
    from pocketlens.training import train

    images = _images(recipe)
    on_features = recipe.training.on_features
    if budget and not on_features:  # a file has its size and its speed before it is trained
        size, milliseconds, _ = _measured(_untrained(recipe, images), recipe, images)
        excess, why = budget.excess(size, milliseconds)
        if excess:
            tell(
                -excess,
                state="over budget",
                reason=why,
                bytes=size,
                milliseconds=milliseconds,
            )
            return
    rest, unseen = (images, None) if on_features else images.split(held, seed=recipe.seed)

    class Follow(Callback):
        def epoch(self, epoch: Epoch) -> None:
            if epoch.validation_accuracy is not None:
                found["epochs"].append(epoch.validation_accuracy)
                if epoch.epoch < epoch.epochs:  # the last one is told with the result
                    tell(epoch.validation_accuracy, state="stopped")

    training = train(recipe, rest, callbacks=[Follow()])
    size, milliseconds, accuracy = _measured(training.recognizer, recipe, images, unseen)
    if accuracy is None:  # cross-validated
        accuracy = training.history[-1].validation_accuracy or 0.0
    excess, why = budget.excess(size, milliseconds)
    tell(
        -excess if excess else accuracy,
        state="over budget" if excess else "done",
        reason=why,
        accuracy=accuracy,
        images=len(images if unseen is None else unseen),
        bytes=size,
        milliseconds=milliseconds,
        parameters=training.recognizer.parameters,
    )


def _images(recipe: Recipe) -> Dataset:
    return _loaded(recipe.data.source, recipe.input, recipe.seed)


@lru_cache(maxsize=1)
def _loaded(source: str, input_spec: Any, seed: int) -> Dataset:
    """The training images; the next recipe in this process probably has the same."""
    from pocketlens.data import load_data, resolve

    return load_data(resolve(source).name, split="train", input_spec=input_spec, seed=seed)


def _untrained(recipe: Recipe, images: Dataset) -> Recognizer:
    from pocketlens import networks
    from pocketlens.recognizer import Recognizer

    classes = (*images.classes, NOTHING) if recipe.data.nothing else images.classes
    network = networks.build(recipe.network, recipe.input, len(classes))
    return Recognizer(network, recipe.network, classes, recipe.input)


def _measured(
    recognizer: Recognizer, recipe: Recipe, images: Dataset, unseen: Dataset | None = None
) -> tuple[int, float, float | None]:
    """The recognizer's Core ML file: bytes, milliseconds per image, accuracy on unseen images."""
    from pocketlens.conversion import convert
    from pocketlens.conversion.compression.measuring import milliseconds
    from pocketlens.coreml import load
    from pocketlens.evaluation.accuracy import evaluate

    options = recipe.model
    with tempfile.TemporaryDirectory(prefix="pocketlens-") as folder:
        path = convert(
            recognizer,
            Path(folder) / f"model.{options.format}",
            format=options.format,
            precision=options.precision,
            data=images.subset(slice(200)) if options.precision == "mixed" else None,
            check=False,  # what is shipped in the end is checked
        )
        model = load(path)
        accuracy = None if unseen is None else evaluate(model, unseen).accuracy
        return size_on_disk(path), milliseconds([model], images)[0], accuracy
