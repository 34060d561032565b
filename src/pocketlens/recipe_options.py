"""The tables of a recipe: one dataclass for each, whose field names are the keys."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field
from typing import Any, Literal

__all__ = [
    "AppOptions",
    "Choice",
    "DataOptions",
    "ModelOptions",
    "TrainingOptions",
    "WebOptions",
    "between",
]


def between(low: float, high: float, *, default: Any = MISSING) -> Any:
    """A number's field: `low <= value <= high` is checked when the recipe is read."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class DataOptions:
    """`[data]`: where the images come from.

    Args:
        source: `mnist`, `strokes`, `strokes:world`, `strokes:REGION`, `doodles`,
            `doodles:apple,bee`, `quickdraw:apple,bee`, `quickdraw:all`, `folder:PATH`, the name of
            an installed plug-in, or `auto`: MNIST, or strokes if MNIST is neither on this computer
            nor downloadable.
        validation: Fraction of the training images held back to choose the best epoch and the
            temperature, in [0, 0.5].
        share: Fraction of the source's training images to use, in [0.001, 1].
        extra: A second source, such as `strokes`, whose training images (all images of a folder)
            are added to the training set; never used for validation or testing. Empty for none.
        extra_share: Fraction of the second source's images to add, in [0.01, 1000]; with 3, each
            is added three times.
        nothing: Fraction of each training batch that shows none of the classes, in [0, 0.9]. Above
            0, the recognizer has a class `nothing`, and `[augment]` draws those frames.
        background: For `training.method = "features"`: a folder of pictures of what is in view when
            none of the classes is; without class folders. Empty for none.
    """

    source: str = "auto"
    validation: float = between(0, 0.5, default=0.02)
    share: float = between(0.001, 1, default=1.0)
    extra: str = ""
    extra_share: float = between(0.01, 1000, default=1.0)
    nothing: float = between(0, 0.9, default=0.0)
    background: str = ""


@dataclass(frozen=True)
class Choice:
    """`[network]` and `[augment]`: a name, and the options of the network or augmentation."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingOptions:
    """`[training]`: how the network is trained.

    Args:
        method: `epochs`: the network is trained in passes over the images. `features`: for the
            network `backbone`; its features are computed once, and the head is fitted on them. Of
            the other keys, only `class_weights` matters then. `fine-tune`: the same; then, if
            cross-validation says that it pays, the last blocks of the backbone are trained, too,
            with AdamW, in at most `epochs` passes. Of the other keys, `batch_size`,
            `learning_rate` (of the blocks; the head's is three times as high), `weight_decay` and
            `class_weights` matter.
        class_weights: `balanced`: each class has the same weight in the loss, however many images
            it has; or `none`.
        epochs: Passes over the training images.
        batch_size: Images per step; at least 2, because batch norm cannot learn from one image.
        echo: How many times each augmented batch is used; repeats are shuffled into later batches.
        optimizer: `adamw`, `muon`, `sgd` (Nesterov momentum 0.9) or `adadelta`.
        learning_rate: The constant rate, or the peak of `one-cycle`.
        weight_decay: Decoupled for `adamw` and `muon`, L2 for the others.
        schedule: `one-cycle` (up for 30 % of the steps, then down, both along a cosine) or
            `constant`.
        label_smoothing: Fraction of each label spread over all classes, in [0, 1).
        teacher: Weight of a distillation loss: the network learns to match, on each augmented
            frame, the features that a small network, trained first, has for the clean image. 0 for
            no teacher.
        start: A run folder or weights file to start from instead of random weights; it must have
            the same network, input and classes. Empty for none.
        precision: Arithmetic during training: `float32`, `bfloat16` (autocast), or `auto`, which
            is bfloat16 on devices that have instructions for it.
        channels_last: Store activations as NHWC, which is faster on CPUs and tensor cores.
        device: `auto` (CUDA, else MPS, else CPU), `cpu`, `cuda` or `mps`.
    """

    method: Literal["epochs", "features", "fine-tune"] = "epochs"
    class_weights: Literal["none", "balanced"] = "none"
    epochs: int = between(1, 100_000, default=1)
    batch_size: int = between(2, 1_000_000, default=128)
    echo: int = between(1, 100, default=1)
    optimizer: Literal["adamw", "muon", "sgd", "adadelta"] = "adamw"
    learning_rate: float = between(1e-8, 100, default=0.01)
    weight_decay: float = between(0, 10, default=0.01)
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    label_smoothing: float = between(0, 0.99, default=0.0)
    teacher: float = between(0, 100, default=0.0)
    start: str = ""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    channels_last: bool = True
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"

    @property
    def on_features(self) -> bool:
        """Whether a head is trained on the features of a pretrained backbone."""
        return self.method != "epochs"


@dataclass(frozen=True)
class ModelOptions:
    """`[model]`: the Core ML file and its metadata.

    Args:
        name: File name without the suffix.
        format: `mlpackage` (ML Program, iOS 16 and later), `mlmodel` (neural network) or `aimodel`
            (Core AI, iOS 27 and later; experimental). With `aimodel`, a Core ML file for the app is
            written, too.
        precision: Type of the weights and, in an ML Program, also of the arithmetic. `mixed`, for
            an ML Program: float16, except for the ops that need float32.
        author: Author, shown by Xcode.
        license: License, shown by Xcode.
        version: Version, shown by Xcode.
        description: What the model does, in one sentence; shown by Xcode.
    """

    name: str = "Recognizer"
    format: Literal["mlpackage", "mlmodel", "aimodel"] = "mlpackage"
    precision: Literal["float16", "float32", "mixed"] = "float16"
    author: str = "Made with Pocketlens"
    license: str = "MIT"
    version: str = "1.0"
    description: str = "Recognizes what is in an image."


@dataclass(frozen=True)
class AppOptions:
    """`[app]`: the Xcode project.

    Args:
        name: The app's name, such as `Digit Lens`; that of the Xcode project is derived from it.
        bundle_id: Reverse-domain identifier.
        team: Apple team ID of ten characters; empty to choose it in Xcode.
    """

    name: str = "Pocketlens"
    bundle_id: str = "org.example.pocketlens"
    team: str = ""


@dataclass(frozen=True)
class WebOptions:
    """`[web]`: the website that runs the model in a browser.

    Args:
        enabled: Whether the run writes it.
        name: The page's title; empty for the app's name.
        url: The address where you will publish it, for the link and QR code in the report; empty
            if you do not know it yet.
        engine: What runs the model: `pocketlens`, `onnxruntime` or `auto`, see `create_web`.
    """

    enabled: bool = False
    name: str = ""
    url: str = ""
    engine: Literal["auto", "pocketlens", "onnxruntime"] = "auto"
