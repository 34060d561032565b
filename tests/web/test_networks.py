"""Whole networks of the kinds that people bring, in the page's engine."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pocketlens.coreml import load
from pocketlens.coreml.graph.export import onnx_model
from pocketlens.web.network import network_file
from torch_networks import NETWORKS, made
from web.page_modules import answers

pytestmark = pytest.mark.slow

IMAGES = [name for name, (_, (example, *_)) in NETWORKS.items() if example.ndim == 4]


@pytest.mark.parametrize("name", IMAGES)
def test_network_gives_what_the_core_ml_file_gives(name: str, tmp_path: Path) -> None:
    import coremltools as ct

    network, (example,) = made(name)
    torch.backends.mha.set_fastpath_enabled(False)  # coremltools lacks the operator
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced: Any = torch.jit.trace(network, example)  # type: ignore[no-untyped-call]
    torch.backends.mha.set_fastpath_enabled(True)
    file: Any = ct.convert(
        traced,
        inputs=[ct.TensorType(name="x", shape=example.shape)],
        minimum_deployment_target=ct.target.iOS16,
        compute_precision=ct.precision.FLOAT32,
    )
    file.save(str(tmp_path / "net.mlpackage"))
    model: Any = load(tmp_path / "net.mlpackage")
    content = network_file(onnx_model(model._lowered.graph), name)
    given = example.numpy()
    case = {"kind": "network", "file": "net", "inputs": [given.ravel().tolist()]}
    ((found,),) = answers([case], tmp_path / "node", {"net": content})
    (expected,) = model.run({"x": given}).values()
    np.testing.assert_allclose(found, np.ravel(expected), atol=1e-4, rtol=1e-4)
