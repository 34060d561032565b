"""`compress`: write a Core ML file again, as small as a loss of accuracy allows.

Candidates are written by `conversion.compression`, measured as files, and chosen on images that the
result is not reported on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.commands import command
from pocketlens.conversion.compression import Compressor
from pocketlens.conversion.compression.kinds import KINDS, Kind, by_name
from pocketlens.conversion.compression.measuring import measure, milliseconds
from pocketlens.conversion.compression.results import Candidate, Compressed, smallest_within
from pocketlens.conversion.compression.upgrading import upgrade
from pocketlens.conversion.package import check_target
from pocketlens.coreml import CoreMLModel, load
from pocketlens.coreml.file.time_limit import default_time_limit
from pocketlens.data import Dataset, load_data
from pocketlens.data.file_sources import FileSource
from pocketlens.data.folder import find_parts
from pocketlens.errors import (
    CheckFailedError,
    ConversionError,
    DataError,
    OptionError,
    RunError,
)
from pocketlens.files import aside, size_on_disk, temporary_folder
from pocketlens.prediction import Remembering
from pocketlens.run_contents import RECIPE, WEIGHTS, run_command
from pocketlens.run_folder import Run, read_run

__all__ = ["Candidate", "Compressed", "compress"]

LARGE = 96 * 96
"""Pixels of the input from which images are large, as photos are."""

CHOOSING = {False: 4000, True: 400}
"""The most images to choose on, of small and of large images."""

REPORTED = {False: 10_000, True: 1000}
"""The most images to report on."""

OBSERVED = {False: 256, True: 128}
"""The most images that the weights of the candidates are fitted to."""


@dataclass(frozen=True)
class _Images:
    """The images that a compression needs; `large` as photos are, or small."""

    choosing: Dataset
    reporting: Dataset
    training: Dataset | None
    large: bool
    notes: tuple[str, ...]

    @property
    def observed(self) -> NDArray[np.uint8]:
        """Images to fit the weights to."""
        source = self.choosing if self.training is None else self.training
        found: NDArray[np.uint8] = np.asarray(_some(source, OBSERVED[self.large]).images)
        return found


def compress(
    model: str | Path,
    out: str | Path | None = None,
    *,
    max_loss: float = 0.3,
    data: str | None = None,
    kinds: Sequence[str] | None = None,
    ios: int | None = None,
    force: bool = False,
    progress: Callable[[str], object] = str,
) -> Compressed:
    """Write a Core ML image classifier again, as small as a loss of accuracy allows.

    Every kind of compression is tried: the candidate is written as a file, loaded, and measured on
    validation images. Its numbers are fitted to what the layers receive from training images, or
    else from those. The smallest one whose accuracy is at most `max_loss` percentage points below
    that of the original is written, with the same labels, InputSpec and thresholds. Test images
    only report what it is worth; nothing is chosen on them.

    Kinds: `linear-8` (8-bit numbers with a scale per channel), `palette-8`, `-6`, `-4` and `-2`
    (tables of 256, 64, 16 or 4 numbers), `mixed-4` and `-6` (tables of 4 to 256 numbers, with 4.6
    or 6 bits per number on average), `pruned-50` and `-75` (the smallest numbers are 0), and for a
    run `trained-4` and `-2`
    (palettes that are learned with its training data). In files for iOS 18 also `grouped-4` and
    `-2` (a table for 16 channels) and `pruned-50-palette-4` and `pruned-75-palette-4`.

    Args:
        model: A run folder, or a Core ML file: an ML Program (`.mlpackage`), or a neural network
            (`.mlmodel`), which has linear numbers and palettes only.
        out: The file to write, with the suffix of the original; default: beside the original, with
            `-small` added to its name.
        max_loss: The budget in percentage points of accuracy, from 0 to 100.
        data: The source of the images, such as `mnist` or `folder:photos`. A folder without
            `train` and `test` is divided: one half chooses, the other reports. A run has its own;
            its training images choose if it kept none for validation.
        kinds: The kinds to try, by name; default: all that the file can have.
        ios: The first iOS version that the result has to run on. 18 allows kinds that need it;
            default: that of the file.
        force: Replace an output that exists.
        progress: Called with the name of each candidate before it is made.

    Returns:
        All candidates, measured; `path` is None, and nothing is written, if none is within budget.

    Raises:
        OptionError: An invalid argument; or a file without `data`.
        ConversionError: The file cannot be compressed.
        RunError: The run has no Core ML file yet.
        DataError: The images cannot be loaded, or have other classes.
        OutputExistsError, OutputError: As in `convert`.
        CheckFailedError: The file that was written does not give the same as its candidate.
    """
    _check_budget(max_loss)
    asked = None if kinds is None else by_name(kinds)
    run, path = _file(Path(model))
    target = Path(out) if out else path.with_name(f"{path.stem}-small{path.suffix}")
    if target.suffix != path.suffix:
        raise OptionError(
            f"the output {target.name} must end in {path.suffix}, as {path.name} does; rename it "
            f"to {target.stem}{path.suffix}"
        )
    if target.exists() and target.resolve() == path.resolve():
        raise OptionError(f"{target} is the file to compress; choose another --out")
    check_target(target, force=force)
    plain = Compressor(path)
    original = _load(path)
    if not original.classes or original.interface.image is None:
        raise ConversionError(
            f"{path} is not an image classifier, so its accuracy cannot be measured; expected one "
            "image as input and class labels"
        )
    allowed = plain.ios if ios is None else ios
    if not isinstance(allowed, int) or allowed < plain.ios:
        raise OptionError(
            f"ios (--ios) is {ios}, but {path} needs iOS {plain.ios} already; leave it out, or "
            f"pass {max(18, plain.ios)}"
        )
    tried = _possible(asked, plain, run, path, allowed)
    images = _images(run, data, original, path)
    notes = [*images.notes]
    plain.observe(original, images.observed)
    with temporary_folder() as folder:
        made = _made(tried, plain, run, images, folder, progress)
        missing = [
            kind.name for kind in tried if kind.name not in {each.name for each, _, _ in made}
        ]
        if missing:
            why = "the run's training images" if images.training is None else "the run's weights"
            notes.append(f"{', '.join(missing)} left out: {why} are not those of {path}")
        rows = _measured(path, plain.ios, made, original, images, max_loss)
        candidates = tuple(sorted(rows[1:], key=lambda each: (each.bytes, each.kind)))
        best = smallest_within(candidates)
        if best is not None:
            file = next(place for kind, _, place in made if kind.name == best.kind)
            _put(file, target, original, images, force=force)
    if best is not None and best.reported_loss > max_loss:
        notes.append(
            f"on the {best.reported_on.images} test images {best.kind} loses "
            f"{best.reported_loss:.2f} percentage points, more than {max_loss:g}"
        )
    return Compressed(
        rows[0],
        candidates,
        best.kind if best else None,
        target if best else None,
        float(max_loss),
        tuple(notes),
    )


def _made(
    kinds: Sequence[Kind],
    plain: Compressor,
    run: Run | None,
    images: _Images,
    folder: Path,
    progress: Callable[[str], object],
) -> list[tuple[Kind, int, Path]]:
    """The candidates: kind, first iOS version and file; without those that cannot be learned."""
    newer: dict[int, Compressor] = {}
    found: list[tuple[Kind, int, Path]] = []
    for kind in kinds:
        progress(kind.name)
        place = folder / f"{kind.name}{plain.file.path.suffix}"
        used = plain
        if not plain.can(kind):
            if kind.ios not in newer:
                newer[kind.ios] = Compressor(upgrade(plain.file.path, kind.ios, folder))
                newer[kind.ios].observe(_load(newer[kind.ios].file.path), images.observed)
            used = newer[kind.ios]
        if kind.bits is None:
            found.append((kind, plain.needs(kind), used.write(place, kind)))
            continue
        if run is None or images.training is None:
            continue
        from pocketlens.conversion.compression.learning import write_learned

        recipe = run.recipe
        if write_learned(place, kind, plain, run.folder, recipe, images.training):
            found.append((kind, plain.needs(kind), place))
    return found


def _load(path: Path) -> CoreMLModel:
    return load(path, time_limit=default_time_limit())


def _check_budget(max_loss: object) -> None:
    number = isinstance(max_loss, (int, float)) and not isinstance(max_loss, bool)
    if not number or not 0 <= float(max_loss) <= 100:  # type: ignore[arg-type]  # NaN fails, too
        raise OptionError(
            f"max_loss (--max-loss) is in percentage points of accuracy, from 0 to 100, such as "
            f"0.3; received: {max_loss!r}"
        )


def _file(model: Path) -> tuple[Run | None, Path]:
    """The run, if there is one, and its Core ML file."""
    if not (model / RECIPE).is_file():
        folder = model.absolute().parent
        return (read_run(folder) if (folder / RECIPE).is_file() else None), model
    run = read_run(model)
    if run.model is None:
        raise RunError(
            f"{model} has no Core ML model yet; resume the run with: "
            f"{run_command(model, '--resume')}"
        )
    return run, run.model


def _possible(
    asked: Sequence[Kind] | None, plain: Compressor, run: Run | None, path: Path, allowed: int
) -> list[Kind]:
    """The kinds to try.

    Raises:
        OptionError: One that is asked for is not possible, or none is.
    """
    found: list[Kind] = []
    first = ""
    for kind in KINDS.values() if asked is None else asked:
        reason = ""
        needed = plain.needs(kind)
        if plain.is_network and not kind.networks:
            reason = (
                f"{path} is a neural network (.mlmodel), which has only "
                f"{', '.join(each.name for each in KINDS.values() if each.networks)}; convert the "
                "model again with --format mlpackage"
            )
        elif needed > allowed:
            reason = f"it needs iOS {needed}, and {path} is for iOS {plain.ios}; add --ios {needed}"
        elif kind.bits is not None and (run is None or not (run.folder / WEIGHTS).is_file()):
            reason = "it is learned with training data; pass a run folder instead of a file"
        if not reason:
            found.append(kind)
            continue
        first = first or f"'{kind.name}' is not possible: {reason}"
        if asked is not None:
            raise OptionError(first)
    if not found:
        raise OptionError(first)
    return found


def _images(run: Run | None, data: str | None, original: CoreMLModel, path: Path) -> _Images:
    """The images for the choice, for the report, and for learning.

    Raises:
        OptionError: There are none.
        DataError: They cannot be loaded.
    """
    spec = original.input_spec
    large = spec.height * spec.width > LARGE
    notes: list[str] = []
    training: Dataset | None = None
    if run is not None:
        try:
            whole = run.load("train")
            rest, held = whole.split(run.recipe.data.validation, seed=run.recipe.seed)
            own = (whole if run.on_features else rest), run.load("test")
        except DataError as error:
            if data is None:
                again = command("compress", path, "--data", "SOURCE")
                raise DataError(f"{error}; to compress with other images: {again}") from error
        else:
            training = own[0]
    if data is not None:
        choosing, reporting = _other_images(data, original)
    elif run is None:
        raise OptionError(
            f"{path} contains no images to measure the loss on; add them with --data: "
            + command("compress", path, "--data", "SOURCE")
        )
    else:
        choosing, reporting = _with_frames(run, held), own[1]
        if run.on_features or not len(held):
            choosing = own[0]
            notes.append("the run kept no images for validation: its training images choose")
    return _Images(
        _some(choosing, CHOOSING[large]),
        _some(reporting, REPORTED[large]),
        training,
        large,
        tuple(notes),
    )


def _with_frames(run: Run, held: Dataset) -> Dataset:
    """The validation images; of a run with empty scenes, augmented frames of them, too.

    They are the images that the training chooses its best epoch on.
    """
    if not run.recipe.data.nothing or run.on_features or not len(held):
        return held
    import torch

    from pocketlens.training.batches import Batches

    batches = Batches(run.recipe, held, torch.device("cpu"))
    frames, labels = batches.validation_frames(held)
    shown = frames.permute(0, 2, 3, 1).contiguous().numpy()
    return Dataset(shown, labels.numpy(), batches.classes, name=held.name)


def _other_images(source: str, original: CoreMLModel) -> tuple[Dataset, Dataset]:
    files = FileSource.parse(source)
    spec = original.input_spec
    if files is not None and "all" in find_parts(files, complete=False):
        whole = load_data(source, split="all", input_spec=spec)
        rest, held = whole.split(0.5, seed=0)
        return held, rest
    return tuple(load_data(source, split=split, input_spec=spec) for split in ("train", "test"))  # type: ignore[return-value]  # two


def _some(images: Dataset, most: int) -> Dataset:
    """At most so many of the images, chosen at random, always the same ones."""
    if len(images) <= most:
        return images
    chosen = np.random.default_rng(0).permutation(len(images))[:most]
    return images.subset(np.sort(chosen))


def _measured(
    path: Path,
    ios: int,
    made: Sequence[tuple[Kind, int, Path]],
    original: CoreMLModel,
    images: _Images,
    max_loss: float,
) -> list[Candidate]:
    """The original and all candidates, measured."""
    reference = Remembering(original)
    files = [("original", "", ios, path), *((k.name, k.text, v, p) for k, v, p in made)]
    models = [original, *(_load(p) for *_, p in files[1:])]
    times = milliseconds(models, images.choosing)
    size = size_on_disk(path)
    rows: list[Candidate] = []
    for (name, text, version, file), model, time in zip(files, models, times, strict=True):
        used = reference if model is original else model
        chosen = measure(used, reference, images.choosing)
        reported = measure(used, reference, images.reporting)
        first = rows[0] if rows else None
        loss = 100 * (first.chosen_on.accuracy - chosen.accuracy) if first else 0.0
        told = 100 * (first.reported_on.accuracy - reported.accuracy) if first else 0.0
        rows.append(
            Candidate(
                name,
                text,
                version,
                size_on_disk(file),
                size / size_on_disk(file),
                chosen,
                reported,
                round(loss, 9),
                round(told, 9),
                time,
                round(loss, 9) <= max_loss,
            )
        )
    return rows


def _put(file: Path, target: Path, original: CoreMLModel, images: _Images, *, force: bool) -> None:
    """Copy the chosen candidate to its place; before it gets its name, it is loaded and checked."""
    some = np.asarray(images.choosing.images[:20])
    wanted = load(file).probabilities(some)
    with aside(target, force=force) as new:
        if file.is_dir():
            shutil.copytree(file, new)
        else:
            shutil.copyfile(file, new)
        written = load(new)
        same = np.array_equal(written.probabilities(some), wanted)
        kept = ("classes", "input_spec", "thresholds")
        if not same or any(getattr(written, name) != getattr(original, name) for name in kept):
            raise CheckFailedError(
                f"{target} would not give the same as the candidate that was chosen; nothing was "
                "written"
            )
