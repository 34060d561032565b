"""Small image networks of `transformers` with random weights, saved as the hub's files are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

SIDE = 32
LABELS = 5

VIT: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 8,
}
TEXT: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "vocab_size": 50,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
CNN: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}


def transformers() -> Any:
    import transformers

    return transformers


def _classifier(kind: str, **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        config = getattr(transformers(), f"{kind}Config")(num_labels=LABELS, **options)
        return getattr(transformers(), f"{kind}ForImageClassification")(config)

    return make


def _base(kind: str, **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        config = getattr(transformers(), f"{kind.removesuffix('Model')}Config")(**options)
        return getattr(transformers(), kind)(config)

    return make


MAKERS: dict[str, Callable[[], Any]] = {
    "resnet": _classifier("ResNet", **CNN),
    "regnet": _classifier("RegNet", **CNN, groups_width=8),
    "convnext": _classifier("ConvNext", hidden_sizes=[8, 16], depths=[1, 1], num_stages=2),
    "mobilenet-v2": _classifier("MobileNetV2", depth_multiplier=0.25, image_size=SIDE),
    "efficientnet": _classifier(
        "EfficientNet", width_coefficient=0.1, depth_coefficient=0.1, hidden_dim=128, image_size=64
    ),
    "vit": _classifier("ViT", **VIT),
    "vit-without-classes": _base("ViTModel", **VIT),
    "deit": _classifier("DeiT", **VIT),
    "swin": _classifier(
        "Swin", embed_dim=8, depths=[1, 1], num_heads=[1, 2], image_size=SIDE, window_size=4
    ),
    "beit": _classifier("Beit", **VIT),
    "dinov2": _base("Dinov2Model", **VIT),
    "dinov2-classes": _classifier("Dinov2", **VIT),
    "dinov3": _base("DINOv3ViTModel", **VIT),
    "clip": _base("CLIPModel", vision_config=VIT, text_config=TEXT, projection_dim=8),
    "siglip": _base("SiglipModel", vision_config=VIT, text_config=TEXT),
}

WITH_CLASSES = (
    "resnet", "regnet", "convnext", "mobilenet-v2", "efficientnet", "vit", "deit", "swin", "beit",
    "dinov2-classes",
)  # fmt: skip

MAPS = ("resnet", "regnet", "mobilenet-v2", "efficientnet")
"""Those whose classification layer takes the mean of a feature map."""


DEEP = ("mobilenet-v2", "efficientnet")
"""Those that, with random weights, give nearly the same for every image."""


def make(kind: str) -> Any:
    """A network in evaluation mode, whose batch norms have means other than 0."""
    torch.manual_seed(0)
    network = MAKERS[kind]()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.1)
    return network.eval()


def save(kind: str, folder: Path) -> str:
    """Save a network; its name for a recipe."""
    make(kind).save_pretrained(folder)
    return f"hf:{folder}"
