"""Networks that PyTorch exports to ONNX, converted and compared with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pocketlens.conversion import convert
from pocketlens.conversion.verifying import verify_arrays
from sampling import sampled


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList([nn.BatchNorm2d(8), nn.BatchNorm2d(8)])

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norms[0](self.a(x)))
        return torch.relu(x + self.norms[1](self.b(y)))


class Block(nn.Module):
    """A transformer block on tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.norm = nn.Embedding(20, 16), nn.LayerNorm(16)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.last = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens)
        q, k, v = self.qkv(self.norm(x)).view(1, -1, 3, 4, 4).permute(2, 0, 3, 1, 4)
        shares = torch.softmax(q @ k.transpose(-1, -2) / 2, -1)
        x = x + self.out((shares @ v).transpose(1, 2).reshape(1, -1, 16))
        result: Tensor = x + self.last(x)
        return result


def mobile() -> nn.Module:
    first = [nn.Conv2d(3, 8, 3, 2, 1), nn.Hardswish(), nn.Conv2d(8, 8, 3, 1, 1, groups=8)]
    rest = [nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5), nn.Softmax(1)]
    return nn.Sequential(*first, *rest)


NETWORKS = {
    "residual": lambda: nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.MaxPool2d(3, 2, 1), Residual()),
    "mobile": mobile,
    "transformer": Block,
}


@pytest.mark.filterwarnings("ignore")  # of the exporter, which is deprecated
@pytest.mark.parametrize("name", sampled(NETWORKS, 1))
def test_an_exported_network_computes_the_same(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    given = torch.randint(0, 20, (1, 7)) if name == "transformer" else torch.rand(1, 3, 24, 24)
    path = tmp_path / "network.onnx"
    torch.onnx.export(network, (given,), str(path), dynamo=False, opset_version=17)
    file = convert(path, tmp_path / "Network.mlpackage", precision="float32")
    found = verify_arrays(path, file, tolerance=1e-5)
    assert found.passed, found
