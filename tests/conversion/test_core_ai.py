"""`convert` to Core AI, compared by Apple's own interpreter."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pocketlens
from core_ai_networks import LABELS, SPEC, classifier, needs_core_ai
from pocketlens.conversion import SourceOptions, convert, open_source, verify_arrays
from pocketlens.conversion.core_ai import write_core_ai
from pocketlens.conversion.metadata import ModelMetadata
from pocketlens.coreai import installed, open_asset
from pocketlens.coreai import load as load_core_ai
from pocketlens.errors import (
    ConversionError,
    MissingExtraError,
    OptionError,
    OutputExistsError,
    UnsupportedModelError,
)

pytestmark = needs_core_ai


def images(count: int) -> Any:
    return np.random.default_rng(1).integers(0, 256, (count, *SPEC.shape)).astype(np.uint8)


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier in float16, compared with its source."""
    target = tmp_path_factory.mktemp("half") / "m.aimodel"
    path = convert(classifier(), target, labels=LABELS, input_spec=SPEC)
    assert path == target
    return path


def test_half_precision_is_compared_and_small(half: Path, tmp_path: Path) -> None:
    path = half
    model = pocketlens.load(path)
    with torch.no_grad():
        want = classifier()(torch.from_numpy(SPEC.network_input(images(5)))).softmax(1).numpy()
    np.testing.assert_allclose(model.probabilities(images(5)), want, atol=2e-3)
    assert model.inspect()["weights"]["float16"] > 5000
    with pytest.raises(OutputExistsError, match="exists; choose another output or pass --force"):
        convert(classifier(), path, labels=LABELS, input_spec=SPEC)
    with pytest.raises(OptionError, match="is not converted again; expected the model that it"):
        convert(model, tmp_path / "n.aimodel")


def written(folder: Path, network: nn.Module, options: SourceOptions) -> Path:
    path = folder / "m.aimodel"
    write_core_ai(open_source(network, options), path, ModelMetadata(), half=False)
    return path


def test_no_path_of_this_computer_and_no_date_in_the_file(half: Path) -> None:
    path = half
    for file in path.iterdir():
        content = file.read_bytes()
        for word in (
            str(path.parent),
            str(Path(__file__).parents[1]),
            sys.prefix,
            str(Path.home()),
        ):
            assert word.encode() not in content, (file.name, word)
        assert b"reationDate" not in content
        assert b"resource_" not in content
    metadata = json.loads((path / "metadata.json").read_bytes())
    assert metadata["description"] == "Distinguishes 3 classes: cat, dog, nothing."
    asset = open_asset(path, max_memory=1 << 20)
    assert (asset.labels, asset.input_spec, asset.thresholds) == (LABELS, SPEC, None)


@pytest.mark.slow
def test_equal_weights_give_equal_bytes_in_every_process(tmp_path: Path) -> None:
    """The converter names weights by a hash that is another one in each process."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_core_ai import *\n"
        "written(Path(sys.argv[2]), classifier(), SourceOptions(labels=LABELS, input_spec=SPEC))\n"
    )
    digests = set()
    for number in "123":
        (tmp_path / number).mkdir()
        folders = [str(Path(__file__).parent), str(tmp_path / number)]
        paths = [str(Path(__file__).parents[1]), str(Path(pocketlens.__file__).parents[1])]
        subprocess.run(
            [sys.executable, "-c", code, *folders], check=True, env={"PYTHONPATH": ":".join(paths)}
        )
        program = (tmp_path / number / "m.aimodel" / "main.mlirb").read_bytes()
        digests.add(hashlib.sha256(program).hexdigest())
    assert len(digests) == 1


class TwoOutputs(nn.Module):
    """Arrays in, arrays out; whole numbers among them."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.linear = nn.Linear(3, 4)

    def forward(self, x: Tensor, index: Tensor) -> dict[str, Tensor]:
        both = self.linear(x) + self.embedding(index)
        return {"sum": both, "strided": torch.as_strided(both, (2, 3), (1, 2), 1)}


def test_arrays(tmp_path: Path) -> None:
    torch.manual_seed(0)
    inputs = {"x": np.zeros((2, 3), np.float32), "index": np.array([1, 4])}
    network = TwoOutputs()
    path = convert(network, tmp_path / "m.aimodel", inputs=inputs, precision="float32")
    model = load_core_ai(path)
    assert [each.name for each in model.function.outputs] == ["sum", "strided"]
    assert model.classes == ()
    given = {"x": np.arange(6).reshape(2, 3), "index": [3, 0]}
    want = network(torch.arange(6.0).reshape(2, 3), torch.tensor([3, 0]))
    for name, array in model.run(given).items():
        np.testing.assert_allclose(array, want[name].detach().numpy(), rtol=1e-5)
    data = {"x": np.ones((2, 3), np.float32), "index": np.array([3, 0], np.int32)}
    assert verify_arrays(network, path, data, inputs=inputs, tolerance=1e-5).passed
    with pytest.raises(pocketlens.PocketlensError, match="not one image; call run|not say that"):
        _ = model.input_spec


@pytest.mark.slow
def test_a_core_ml_file_and_a_core_ai_model_agree(tmp_path: Path) -> None:
    inputs = {"x": np.zeros((2, 3), np.float32), "index": np.array([1, 4])}
    data = {"x": np.ones((2, 3), np.float32), "index": np.array([3, 0], np.int32)}
    network = TwoOutputs()
    core_ml, core_ai = tmp_path / "m.mlpackage", tmp_path / "m.aimodel"
    for path in (core_ml, core_ai):
        convert(network, path, inputs=inputs, precision="float32", check=False)
    assert verify_arrays(core_ml, core_ai, data, tolerance=1e-5).passed


class Indices(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.max_pool2d(x, 2, return_indices=True)[1].float()


class Sorted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Identity(), Indices())
        self.order = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sort(self.order(x))[0]


def test_ops_that_core_ai_lacks_are_named_with_their_layer(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"Core AI has no op 'sort'.*line \d+: return torch"):
        written(tmp_path, Sorted(), SourceOptions(inputs=[np.zeros((1, 2), np.float32)]))
    with pytest.raises(ConversionError, match="computes other indices .* 'max_pool2d_with_ind"):
        written(tmp_path, Indices(), SourceOptions(inputs=[np.zeros((1, 1, 4, 4), np.float32)]))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_become_a_core_ai_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.aimodel"
    given: dict[str, Any] = {"labels": LABELS, "input_spec": SPEC}
    with pytest.raises(OptionError, match="takes --precision float16 or float32"):
        convert(classifier(), path, precision="mixed", **given)
    with pytest.raises(ConversionError, match="is made for one size only"):
        convert(nn.AdaptiveAvgPool2d(1), path, inputs="image", sizes=[(10, 12), (20, 24)],
                input_spec=SPEC)  # fmt: skip
    with pytest.raises(OptionError, match=r"ends in .aimodel, but the format is mlmodel"):
        convert(classifier(), path, format="mlmodel", **given)
    (tmp_path / "full.aimodel").mkdir()
    (tmp_path / "full.aimodel" / "mine").touch()
    with pytest.raises(OutputExistsError, match=r"not a Core AI model \(it has no main.mlirb\)"):
        convert(classifier(), tmp_path / "full.aimodel", force=True, **given)

    def missing(name: str) -> None:
        return None

    monkeypatch.setattr("importlib.util.find_spec", missing)
    with pytest.raises(MissingExtraError, match=r"needs the packages 'coreai' and 'coreai_torch'"):
        convert(classifier(), path, **given)
    monkeypatch.setattr(installed, "_runs_here", lambda: False)
    with pytest.raises(UnsupportedModelError, match="on Linux .* on Macs with Apple silicon only"):
        convert(classifier(), path, **given)


class Lowered(nn.Module):
    """Ops that the converter lacks or gets wrong, each an output."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = x.flip(3)
        return {
            "alpha": torch.add(x, y, alpha=3) - torch.sub(x, y, alpha=2),
            "whole": (9.7 * x).long().float(),
            "truth": (x > 0).float() + (x - 1).bool().float(),
            "max": nn.functional.adaptive_max_pool2d(x, (3, 2)),
            "mean": nn.functional.adaptive_avg_pool2d(x, (3, 4)),
            "mean1": nn.functional.adaptive_avg_pool1d(x[0], 3),
            "mean3": nn.functional.adaptive_avg_pool3d(x[None], (1, 3, 2)),
            "std": torch.std(x, (2, 3)) + torch.var_mean(x, 1)[1].sum(),
            "elu": nn.functional.elu(x) + nn.functional.selu(y),
            "remainder": torch.remainder(x, 0.7) + 5 % (y + 9),
            "products": torch.cumprod(x, 3),
            "windows": x.unfold(3, 3, 2),
            "sampled": nn.functional.grid_sample(
                x, torch.tanh(x[:, :2]).permute(0, 2, 3, 1), align_corners=False
            ),
            "least": x.argmin(1).float() + torch.diagonal(x[0, 0, :5, :5]).sum(),
            "xlogy": torch.xlogy(x.abs(), y.abs()),
        }


@pytest.mark.slow
def test_ops_that_the_converter_lacks_or_gets_wrong(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 2, 8, 7)
    path = written(tmp_path, Lowered(), SourceOptions(inputs=[x.numpy()]))
    found = load_core_ai(path).run({"x": x.numpy()})
    for name, want in Lowered()(x).items():
        np.testing.assert_allclose(found[name], want.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)
