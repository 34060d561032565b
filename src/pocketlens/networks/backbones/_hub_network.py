"""An image network of `transformers` without its head; see `huggingface`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    MODEL_MAPPING_NAMES,
)

from pocketlens.errors import OptionError, RunError
from pocketlens.hub import INSTEAD, find_folder, quiet, short

__all__ = ["HubNetwork"]


class HubNetwork(nn.Module):
    """The features that the network's own classification layer takes.

    If they are the mean of a feature map, as in ResNet, the map is returned. A network without a
    classification layer, such as CLIP's, gives its pooled output.

    Args:
        name: `hf:NAME` or `hf:./path`.
        values: Its description, as in `config.json`.

    Shapes:
        `(N, C, H, W)` float → `(N, F)`, or `(N, F, h, w)`, float.

    Attributes:
        options: With these, `backbones.build` makes the same module without any file.
        channels: `C`.
        image_size: Height and width that it was made for; None if the description does not say.
        patch: The side of the patches that it divides an image into; 0 without any.
        concepts: The classification layer; only there if the weights have one.

    Raises:
        OptionError: It is not an image network.
    """

    def __init__(self, name: str, values: Mapping[str, Any]) -> None:
        super().__init__()
        self.name = name
        self.config = _read_config(name, values)
        self.kind = _find_class(name, self.config)
        self.channels = int(getattr(self.config, "num_channels", 3))
        self.image_size = _sides(getattr(self.config, "image_size", None))
        self.patch = max(_sides(getattr(self.config, "patch_size", None)) or (0, 0))
        self.has_layer = self.kind.__name__ in (self.config.architectures or ())
        self.options = {"config": _described(self.config, self.kind if self.has_layer else None)}
        self.network, self.output, self.layer_name, layer = _split(self.kind(self.config))
        if self.has_layer and layer is not None:
            self.concepts = layer

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        found = self.network(pixel_values=x, return_dict=True)
        features = getattr(found, self.output, None)
        if features is None and self.output == "pooler_output":
            features = found.last_hidden_state
            if features.dim() != 4:
                raise ValueError("it describes the parts of an image, but not the whole image")
        if not isinstance(features, Tensor):
            raise ValueError(f"it has no output '{self.output}'")
        return features.flatten(1) if features.shape[2:] == (1, 1) else features

    def load_pretrained(self) -> None:
        """Load the weights from the hub's cache or the local folder.

        Raises:
            OptionError: The folder is not there any more.
            RunError: Its weights are missing, damaged, of another network, or not in safetensors.
        """
        folder = find_folder(self.name)
        if not any(folder.glob("*.safetensors")):
            found = sorted(path.name for path in folder.iterdir())
            raise RunError(
                f"{folder} has no weights in safetensors format; other formats are not read, "
                f"because they can contain code; it has: {', '.join(found)[:300]}; {INSTEAD}"
            )
        again = f"download them again, or {INSTEAD}"
        with quiet():
            try:
                whole, missing = self._read(folder)
            except Exception as error:  # transformers raises anything for files that are damaged
                raise RunError(
                    f"the weights in {folder} cannot be read: {short(error)}; {again}"
                ) from error
        network, _, _, layer = _split(whole)
        if not self.has_layer and layer is not None:
            missing = [each for each in missing if each.split(".")[0] != self.layer_name]
        if missing:
            raise RunError(
                f"the weights in {folder} lack {len(missing)} tensors of the network, such as "
                f"{missing[0]}; {again}"
            )
        self.network.load_state_dict(network.state_dict())
        known = getattr(self, "concepts", None)  # may have been removed
        if isinstance(known, nn.Linear) and layer is not None:
            known.load_state_dict(layer.state_dict())

    def _read(self, folder: Path) -> tuple[nn.Module, list[str]]:
        """The network with its weights, and the names of the tensors that the files lack."""
        whole, report = self.kind.from_pretrained(
            folder,
            config=self.config,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
        return whole, sorted(report["missing_keys"])


def _read_config(name: str, values: Mapping[str, Any]) -> Any:
    """The configuration object of transformers; of a network for images and text, its first."""
    kind = values.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise OptionError(
            f"the backbone '{name}' is of a kind that transformers {transformers.__version__} "
            f"does not know: {kind!r:.80}; update transformers, or {INSTEAD}"
        )
    # The usual attention: of the others, only some can be converted.
    config = CONFIG_MAPPING[kind].from_dict(dict(values), attn_implementation="eager")
    vision = getattr(config, "vision_config", None)
    return config if vision is None else vision


def _find_class(name: str, config: Any) -> Any:
    found = MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES.get(config.model_type)
    found = found or MODEL_MAPPING_NAMES.get(config.model_type)
    first = found if isinstance(found, str) or found is None else found[0]
    kind = None if first is None else getattr(transformers, first)
    if kind is None or kind.main_input_name != "pixel_values":
        raise OptionError(
            f"the backbone '{name}' is not a network for images; it is of the kind "
            f"{config.model_type!r:.80}; {INSTEAD}"
        )
    return kind


def _described(config: Any, kind: type | None) -> str:
    """The configuration as JSON, without the names of its labels."""
    values = {k: v for k, v in config.to_diff_dict().items() if not k.startswith("_")}
    values.pop("label2id", None)
    if values.pop("id2label", None):
        values["num_labels"] = config.num_labels
    values["architectures"] = [kind.__name__] if kind else []
    return json.dumps(values, sort_keys=True)


def _split(whole: Any) -> tuple[nn.Module, str, str, nn.Linear | None]:
    """The network without its classification layer, its output with the features, and the layer
    with the name of the part it is in: the only linear one whose outputs are the labels."""
    base_name = str(whole.base_model_prefix)
    found = [
        (name, module)
        for name, module in whole.named_modules()
        if isinstance(module, nn.Linear)
        and not name.startswith(f"{base_name}.")
        and module.out_features == whole.config.num_labels
    ]
    if not type(whole).__name__.endswith("ForImageClassification") or len(found) != 1:
        return whole, "pooler_output", "", None
    name, layer = found[0]
    base = getattr(whole, base_name, None)
    if isinstance(getattr(base, "pooler", None), (nn.AdaptiveAvgPool2d, nn.AvgPool2d)):
        assert isinstance(base, nn.Module)
        return base, "last_hidden_state", name.split(".")[0], layer
    whole.set_submodule(name, nn.Identity())
    return whole, "logits", name.split(".")[0], layer


def _sides(size: object) -> tuple[int, int] | None:
    if isinstance(size, int):
        return size, size
    if isinstance(size, (list, tuple)) and len(size) == 2:
        return int(size[0]), int(size[1])
    return None
