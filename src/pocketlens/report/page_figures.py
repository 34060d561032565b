"""The figures of the report: files of a run, embedded with their alternative text and caption."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from pocketlens.evaluation.accuracy import Evaluation, percent
from pocketlens.report.canvas import plural
from pocketlens.run_files import read_bytes
from pocketlens.run_folder import Run

__all__ = ["PageFigure", "data_uri", "page_figures"]

MIME = {".png": "image/png", ".svg": "image/svg+xml"}

CHARTS = (
    "balance.svg",
    "history.svg",
    "learning_curve.svg",
    "confusion.svg",
    "reliability.svg",
    "parity.svg",
    "rejection.svg",
    "compression.svg",
)


@dataclass(frozen=True)
class PageFigure:
    """A figure on the page. `uri` is None if the file is missing; a `chart` contains no images."""

    name: str
    alt: str
    caption: str
    uri: str | None
    chart: bool


def page_figures(run: Run) -> dict[str, PageFigure]:
    """All figures of the page, by name without suffix."""
    source = run.data.source if run.data else "the data"
    found, parity = run.evaluation, run.parity
    wrong = (
        f"{plural(_wrong(found), 'mistake')} in {plural(found.n, 'image')}"
        if found
        else "no test result"
    )
    error = percent(found.calibration.error) if found else "not measured"
    agreement = percent(parity.agreement) if parity else "not measured"
    tuned = run.metrics.fine_tuning if run.metrics else None
    rows = (
        (
            "samples.png",
            f"Images of {source}, evenly from all classes, with their labels.",
            "The images as stored in the data set, before scaling and normalization.",
        ),
        (
            "findings.png",
            "Some of the pictures that the check of the files found.",
            "Pictures that show nearly the same, or whose shape loses much in a crop.",
        ),
        (
            "labels.png",
            "Images whose label is probably wrong, with the label and the more probable class.",
            "The class and its probability are those of a head that has not seen the image.",
        ),
        (
            "pixels.png",
            "One enlarged image, with the value of each pixel.",
            "An image is a grid of numbers. Each is multiplied by the input's scale, and the bias "
            "is added; the Core ML file does this itself.",
        ),
        (
            "one_hot.svg",
            "The labels of some images as one-hot rows: a 1 in the column of the class.",
            "Training changes the network so that its probabilities move toward these rows.",
        ),
        (
            "balance.svg",
            "The share of each class in the training, validation and test images.",
            "If the classes have very different sizes, accuracy alone is misleading.",
        ),
        (
            "augmented.png",
            "Augmented versions of some training images, with their labels.",
            f"The augmentation '{run.recipe.augment.name}' creates new versions in each epoch. "
            "Quality is measured on images without augmentation.",
        ),
        (
            "history.svg",
            "Loss and accuracy after each epoch, in training and validation.",
            "Validation images are not used for training. The epoch with the best validation "
            "result is kept.",
        ),
        (
            "learning_curve.svg",
            "Accuracy against the number of training images per class, by cross-validation.",
            "Each point is the accuracy of heads that were trained on fewer images, on images "
            "that they have not seen."
            + (" The backbone is the one without fine-tuning." if tuned and tuned.pays else ""),
        ),
        (
            "confusion.svg",
            f"Confusion matrix of true and predicted classes: {wrong}.",
            "Rows: true class. Columns: predicted class. Blue is correct, orange is wrong.",
        ),
        (
            "mistakes.png",
            f"The images with the most confident wrong predictions: {wrong}.",
            "Some of these images are hard for people, too. The others show which images to add to "
            "the training data.",
        ),
        (
            "explained.png",
            f"The parts of misread images that speak for the wrong and the true class: {wrong}.",
            "Computed from the Core ML file: orange parts speak for the class, blue ones against "
            "it. The line surrounds the strongest parts. If they are not on the object, photograph "
            "it before other backgrounds.",
        ),
        (
            "confusions.png",
            f"Misread test images, each beside the most similar training images: {wrong}.",
            "Similar in the backbone's features. If the training image of the wrong class is "
            "almost the same, look whether its label is right.",
        ),
        (
            "reliability.svg",
            f"Accuracy by confidence; expected calibration error {error}.",
            "On the dashed line, confidence equals accuracy: of the predictions with 90 % "
            "confidence, nine in ten are correct.",
        ),
        (
            "parity.svg",
            f"Histogram of |Δp| on a logarithmic scale; {agreement} of labels agree.",
            "Left is better: a small |Δp| means that the conversion changed the probabilities of "
            "an image very little.",
        ),
        (
            "rejection.svg",
            "Scores of the Core ML file for images with a digit and for empty scenes, and the "
            "share of each kind of scene that gets a label.",
            "The test scenes are simulated by different code than the training images.",
        ),
        (
            "compression.svg",
            "The size of the Core ML file, and of smaller versions of it, against their accuracy.",
            "Measured by the command “compress” on the images for the choice. Below the dashed "
            "line, a version loses too much accuracy.",
        ),
        (
            "app.svg",
            "The app’s camera screen with a test image in front of the camera: what the model sees "
            "is framed, and the label with its confidence is below it.",
            "A drawing of the app’s screen. The label and its confidence are the Core ML file’s "
            "answer to this test image; outside the frame its edges are continued.",
        ),
    )
    return {
        Path(name).stem: PageFigure(
            name, alt, caption, data_uri(run.figures.get(name)), name in CHARTS
        )
        for name, alt, caption in rows
    }


def data_uri(path: Path | None) -> str | None:
    """A figure as the address of an image on the page; None if there is none."""
    if path is None:
        return None
    return f"data:{MIME[path.suffix]};base64,{base64.b64encode(read_bytes(path)).decode()}"


def _wrong(evaluation: Evaluation) -> int:
    return round(evaluation.n * (1 - evaluation.accuracy))
