"""`backbone`: the features of a pretrained network, and a head on top.

The backbone is trained only if `train` is set; otherwise its weights and its batch norm statistics
stay as they are. See `networks.backbones` for which there are and how to add one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketlens.errors import OptionError
from pocketlens.image import InputSpec
from pocketlens.networks import backbones

__all__ = ["Backbone", "Rejection", "signs"]

MAX_PROTOTYPES = 65_536


class Rejection(nn.Module):
    """One more logit, for `nothing`: how little an image resembles the training images.

    Its odds are a linear function of the similarity to the nearest stored features, of the size of
    the logits and of how clearly one of them leads. Stored features ("prototypes") are unit
    vectors. The three coefficients are fitted on images that were not trained on; see
    `training.rejection`.

    Args:
        features: Numbers per image.
        prototypes: Number of stored features.
        background: The last of the logits is already one for `nothing`, learned from pictures of
            the background; the two are then joined.

    Shapes:
        features `(N, F)`, logits `(N, K)` → `(N, K + 1)`, all float; `(N, K)` with `background`.
    """

    def __init__(self, features: int, prototypes: int, *, background: bool = False) -> None:
        super().__init__()
        self.background = background
        self.center = nn.Buffer(torch.zeros(features))
        self.prototypes = nn.Buffer(torch.zeros(prototypes, features))
        self.weights = nn.Buffer(torch.zeros(3))
        self.bias = nn.Buffer(torch.zeros(1))

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        known = logits[:, :-1] if self.background else logits
        size = known.logsumexp(1, keepdim=True)
        found = signs(features, known, self.center, self.prototypes)
        # Then softmax gives `nothing` the probability sigmoid(unknown), and the others share the
        # rest as before.
        nothing = found @ self.weights[:, None] + self.bias + size
        if self.background:
            nothing = torch.cat([nothing, logits[:, -1:]], 1).logsumexp(1, keepdim=True)
        return torch.cat([known, nothing], 1)


def signs(features: Tensor, logits: Tensor, center: Tensor, prototypes: Tensor) -> Tensor:
    """What tells known from unknown images, `(N, 3)`: similarity, size of the logits, clear lead.

    Args:
        features: `(N, F)`.
        logits: `(N, K)`, of the known classes.
        center: `(F,)`, the mean of the training images' features.
        prototypes: `(P, F)`, unit vectors.
    """
    similarity = (F.normalize(features - center, dim=1) @ prototypes.T).amax(1, keepdim=True)
    size = logits.logsumexp(1, keepdim=True)
    lead = logits.amax(1, keepdim=True) - size  # the log of the largest probability
    return torch.cat([similarity, size, lead], 1)


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
        background: bool = False,
        config: str = "",
    ) -> None:
        super().__init__()
        _check_options(train, concepts, background, prototypes, config)
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
        device = next(made.parameters(), torch.zeros(())).device
        with torch.no_grad():
            found = made.eval()(torch.zeros(2, channels, height, width, device=device))
        if found.dim() not in (2, 4) or len(found) != 2:
            raise OptionError(
                f"the backbone '{backbone}' must return features of shape (N, F) or (N, F, h, w); "
                f"for two images of {height} × {width} it returns {tuple(found.shape)}"
            )
        self.width = int(found.shape[1])
        inputs = self.width + (known.out_features if concepts and known is not None else 0)
        self.head = nn.Linear(inputs, classes - (prototypes > 0 and not background))
        self.rejection = (
            Rejection(self.width, prototypes, background=background) if prototypes else None
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
        found: Tensor = self.backbone(x)
        return found.mean((2, 3)) if found.dim() == 4 else found

    def described(self, features: Tensor) -> Tensor:
        """What the head receives: the features `(N, F)`, and the concepts if they are used."""
        if not self.concepts:
            return features
        layer = self.backbone.concepts
        assert isinstance(layer, nn.Linear)
        known = layer(features).softmax(1)
        return torch.cat([features, (known + 1e-7).sqrt()], 1)

    def logits(self, features: Tensor) -> Tensor:
        """Logits `(N, classes)` of features `(N, F)`."""
        known: Tensor = self.head(self.described(features))
        return known if self.rejection is None else self.rejection(features, known)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        return self.logits(self.features(x))


def _check_options(
    train: object, concepts: object, background: object, prototypes: object, config: object
) -> None:
    """Raise an OptionError for an option of another type, or out of range."""
    for name, value, kind, expected in (
        ("train", train, bool, "true or false"),
        ("concepts", concepts, bool, "true or false"),
        ("background", background, bool, "true or false"),
        ("prototypes", prototypes, int, f"an integer from 0 to {MAX_PROTOTYPES}"),
        ("config", config, str, "JSON text"),
    ):
        if type(value) is not kind:
            raise OptionError(f"network.{name} must be {expected}; received: {value!r:.80}")
    if isinstance(prototypes, int) and not 0 <= prototypes <= MAX_PROTOTYPES:
        raise OptionError(
            f"network.prototypes must be an integer from 0 to {MAX_PROTOTYPES}; "
            f"received: {prototypes!r}"
        )
