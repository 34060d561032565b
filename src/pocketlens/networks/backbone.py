"""`backbone`: the features of a pretrained network, and a head on top.

The backbone is trained only if `train` is set; otherwise its weights and its batch norm statistics
stay as they are. See `networks.backbones` for which there are and how to add one.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketlens.errors import OptionError
from pocketlens.image import InputSpec
from pocketlens.networks import backbones

__all__ = ["Backbone", "Rejection", "nothing_logit", "pooled"]

MAX_STORED = 65_536
TINY = 1e-7
"""Added to probabilities, so that their square roots have a derivative, in float16, too."""

STEEPNESS = 10.0
"""Of `nothing_logit` above 0."""


def pooled(found: Tensor) -> Tensor:
    """Features `(N, F)` of features, or of a feature map `(N, F, h, w)`: its mean."""
    return found.mean((2, 3)) if found.dim() == 4 else found


def nothing_logit(unknown: Tensor, known: Tensor) -> Tensor:
    """The logit of `nothing`, `(N, 1)`: the largest where `unknown` is above 0, and only there.

    Above, softmax soon gives it the probability sigmoid(unknown). With that below 0, too, it would
    also be the answer where the known classes share the rest among them.

    Args:
        unknown: The log odds that an image is unknown, `(N, 1)`.
        known: Logits of the known classes, `(N, K)`.
    """
    most = known.amax(1, keepdim=True)
    shared = known.logsumexp(1, keepdim=True) - most
    return most + unknown + torch.minimum(shared, F.relu(STEEPNESS * unknown))


class Rejection(nn.Module):
    """One more logit, for `nothing`: how little an image resembles the training images.

    Its odds are the larger of two linear functions of the `signs`: one that tells the training
    images from pictures of something else altogether, one that tells them from other pictures of
    the same kind. All values are fitted on images that were not trained on; see
    `training.rejection`.

    Args:
        features: Numbers per image, `F`.
        concepts: Concepts of the backbone, `C`; 0 without.
        classes: Number of known classes, `K`.
        prototypes: Number of stored features, `P`.
        dimensions: Dimensions of the whitened features, `R`.
        background: The last of the logits is already one for `nothing`, learned from pictures of
            the background; the two are then joined.

    Shapes:
        features `(N, F)`, concepts `(N, C)`, logits `(N, K)` → `(N, K + 1)`, all float; with
        `background`, logits `(N, K + 1)` → `(N, K + 1)`.
    """

    def __init__(
        self,
        features: int,
        concepts: int,
        classes: int,
        prototypes: int,
        dimensions: int,
        *,
        background: bool = False,
    ) -> None:
        super().__init__()
        self.background = background
        self.center = nn.Buffer(torch.zeros(features))
        self.prototypes = nn.Buffer(torch.zeros(prototypes, features))
        self.concept_prototypes = nn.Buffer(torch.zeros(prototypes, concepts))
        self.whitening = nn.Buffer(torch.zeros(dimensions, features))
        self.means = nn.Buffer(torch.zeros(classes, dimensions))
        self.weights = nn.Buffer(torch.zeros(2, 5 if concepts else 4))
        self.bias = nn.Buffer(torch.zeros(2))

    def signs(self, features: Tensor, concepts: Tensor, logits: Tensor) -> Tensor:
        """What tells known from unknown images, `(N, 4)`, or `(N, 5)` with concepts.

        Each is larger for known images: the cosine similarity to the nearest stored features, the
        size of the logits, the log of the largest probability, minus the squared distance to the
        nearest class mean in whitened features (Mahalanobis distance), and the similarity to the
        nearest stored concepts (Bhattacharyya coefficient).
        """
        own = features - self.center
        similarity = (F.normalize(own, dim=1) @ self.prototypes.T).amax(1, keepdim=True)
        size = logits.logsumexp(1, keepdim=True)
        lead = logits.amax(1, keepdim=True) - size
        white = own @ self.whitening.T  # (N, R)
        # Not by |a|² - 2ab + |b|², whose large terms cancel each other: float16 is too coarse.
        apart = white[:, None] - self.means  # (N, K, R)
        distance = apart.square().sum(2).amin(1, keepdim=True)
        found = [similarity, size, lead, -distance]
        if concepts.shape[1]:
            found.append((concepts @ self.concept_prototypes.T).amax(1, keepdim=True))
        return torch.cat(found, 1)

    def forward(self, features: Tensor, concepts: Tensor, logits: Tensor) -> Tensor:
        known = logits[:, :-1] if self.background else logits
        signs = self.signs(features, concepts, known)
        unknown = (signs @ self.weights.T + self.bias).amax(1, keepdim=True)
        nothing = nothing_logit(unknown, known)
        if self.background:
            nothing = torch.cat([nothing, logits[:, -1:]], 1).logsumexp(1, keepdim=True)
        return torch.cat([known, nothing], 1)


class Backbone(nn.Module):
    """features of the backbone → linear.

    Args:
        input_spec: The input; the backbone decides which sizes it accepts.
        classes: Number of logits.
        backbone: Its name: `efficientnet-lite0`, `hf:NAME`, or an entry point.
        train: Also train the backbone.
        concepts: Add what the backbone was trained to tell apart, such as ImageNet's 1,000
            classes, to the features: the square roots of its probabilities.
        prototypes: Add a logit for `nothing`, from the similarity to this many stored features.
        dimensions: Dimensions of the whitened features, in which distances to the classes' means
            are measured, too.
        background: The head has a logit for `nothing`, too, learned from pictures.
        config: The architecture of a backbone `hf:NAME` as JSON; a saved recognizer has it.

    Shapes:
        `(N, C, H, W)` float → `(N, classes)` float.

    Raises:
        OptionError: There is no such backbone, it does not return features, or an option is
            invalid.
        PluginError: The backbone cannot be imported.
    """

    def __init__(
        self,
        input_spec: InputSpec,
        classes: int,
        *,
        backbone: str = "efficientnet-lite0",
        train: bool = False,
        concepts: bool = False,
        prototypes: int = 0,
        dimensions: int = 0,
        background: bool = False,
        config: str = "",
    ) -> None:
        super().__init__()
        _check_options(train, concepts, background, prototypes, dimensions, config)
        made = backbones.build(backbone, input_spec, config=config)
        self.frozen = not train
        known = getattr(made, "concepts", None)
        if concepts and not isinstance(known, nn.Linear):
            raise OptionError(
                f"network.concepts needs a backbone with a layer for what it was trained on; "
                f"'{backbone}' has none; set network.concepts to false"
            )
        if isinstance(known, nn.Linear) and not concepts:
            del made.concepts
        self.backbone = made.requires_grad_(train)
        self.concepts = concepts
        height, width, channels = input_spec.shape
        # A copy without memory tells the shape without computing anything.
        probe = copy.deepcopy(made).to("meta").eval()
        with torch.no_grad():
            found = probe(torch.zeros(2, channels, height, width, device="meta"))
        if found.dim() not in (2, 4) or len(found) != 2:
            raise OptionError(
                f"the backbone '{backbone}' must return features of shape (N, F) or (N, F, h, w); "
                f"for two images of {height} × {width} it returns {tuple(found.shape)}"
            )
        self.width = int(found.shape[1])
        count = known.out_features if concepts and known is not None else 0
        self.head = nn.Linear(self.width + count, classes - (prototypes > 0 and not background))
        self.rejection = (
            Rejection(self.width, count, classes - 1, prototypes, dimensions, background=background)
            if prototypes
            else None
        )
        self.train()

    def train(self, mode: bool = True) -> Backbone:
        """Training mode for the head; for the backbone, too, if it is trained."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def features(self, x: Tensor) -> Tensor:
        """Features `(N, F)` of planes `(N, C, H, W)`."""
        return pooled(self.backbone(x))

    def known_concepts(self, features: Tensor) -> Tensor:
        """The square roots `(N, C)` of the probabilities of the backbone's concepts; `(N, 0)`
        without concepts."""
        if not self.concepts:
            return features[:, :0]
        layer = self.backbone.concepts
        assert isinstance(layer, nn.Linear)
        known: Tensor = layer(features).softmax(1)
        return (known + TINY).sqrt()

    def logits(self, features: Tensor) -> Tensor:
        """Logits `(N, classes)` of features `(N, F)`."""
        concepts = self.known_concepts(features)
        known: Tensor = self.head(torch.cat([features, concepts], 1))
        return known if self.rejection is None else self.rejection(features, concepts, known)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        return self.logits(self.features(x))


def _check_options(
    train: object,
    concepts: object,
    background: object,
    prototypes: object,
    dimensions: object,
    config: object,
) -> None:
    """Raise an OptionError for an option of another type, or out of range."""
    for name, value, kind, expected in (
        ("train", train, bool, "true or false"),
        ("concepts", concepts, bool, "true or false"),
        ("background", background, bool, "true or false"),
        ("prototypes", prototypes, int, f"an integer from 0 to {MAX_STORED}"),
        ("dimensions", dimensions, int, f"an integer from 0 to {MAX_STORED}"),
        ("config", config, str, "JSON text"),
    ):
        in_range = not isinstance(value, int) or 0 <= value <= MAX_STORED
        if type(value) is not kind or not in_range:
            raise OptionError(f"network.{name} must be {expected}; received: {value!r:.80}")
