"""The features of images: computed by a frozen backbone, once.

The backbone runs in ONNX Runtime, which is several times as fast as PyTorch on a CPU; see
`benchmarks/photos.py`. Its first results are compared with PyTorch's.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
import warnings
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketlens.callbacks import Callback
from pocketlens.data.large_arrays import block_slices, in_memory, rows
from pocketlens.image import InputSpec
from pocketlens.networks.backbone import Backbone
from pocketlens.recognizer import planes
from pocketlens.training.feature_cache import FeatureCache

__all__ = ["BATCH", "REPORT_SECONDS", "Embedder", "Runner"]

BATCH = 16
STORED = 64
"""Images whose features are stored at a time, so that a kill loses little."""

TOLERANCE = 1e-3
"""How far the results of ONNX Runtime may be from PyTorch's, as a share of the largest feature."""

REPORT_SECONDS = 0.1


class _Features(nn.Module):
    """Images `(N, H, W, C)` uint8 → features `(N, F)`: what is exported."""

    def __init__(self, network: Backbone, input_spec: InputSpec) -> None:
        super().__init__()
        self.network = network
        self.input_spec = input_spec

    def forward(self, images: Tensor) -> Tensor:
        return self.network.features(planes(images.permute(0, 3, 1, 2), self.input_spec))


class Embedder:
    """Computes features `(N, F)` float32 of images `(N, H, W, C)` uint8.

    Args:
        network: Its backbone is used, with the weights that it has now.
        input_spec: The network's input.
        callbacks: Their `features` is called as the work proceeds, `note` for a problem.
    """

    def __init__(
        self, network: Backbone, input_spec: InputSpec, callbacks: Sequence[Callback] = ()
    ) -> None:
        self.compute = Runner(_Features(network, input_spec), callbacks)
        self.width = network.width
        self.callbacks = callbacks
        self.identity = _identity(network.backbone, input_spec)

    def __call__(
        self, images: NDArray[np.uint8], *, into: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Features of the images, from the cache where they are known; written `into` an array.

        Raises:
            KeyboardInterrupt: Ctrl-C; what was computed so far is in the cache.
        """
        found = np.empty((len(images), self.width), np.float32) if into is None else into
        keys: list[bytes] = []
        missing: list[int] = []
        with FeatureCache() as cache:
            for block in block_slices(len(images), math.prod(images.shape[1:])):
                some = [self.key(image) for image in in_memory(images[block])]
                known = cache.get(some, self.width)
                for at, key in enumerate(some, start=len(keys)):
                    if key in known:
                        found[at] = known[key]
                    else:
                        missing.append(at)
                keys += some
            started = reported = time.perf_counter()
            for start in range(0, len(missing), STORED):
                new: dict[bytes, NDArray[np.float32]] = {}
                for first in range(start, min(start + STORED, len(missing)), BATCH):
                    batch = missing[first : min(first + BATCH, start + STORED)]
                    found[batch] = self.compute(rows(images, np.array(batch)))
                    new |= {keys[at]: found[at] for at in batch}
                    done, now = first + len(batch), time.perf_counter()
                    if now - reported >= REPORT_SECONDS or done == len(missing):
                        reported = now
                        for callback in self.callbacks:
                            callback.features(done, len(missing), done / (now - started))
                cache.put(new)
            if cache.problem:
                for callback in self.callbacks:
                    callback.note(cache.problem)
        return found

    def key(self, image: NDArray[np.uint8]) -> bytes:
        """The key of an image `(H, W, C)` in the cache."""
        return self.identity + hashlib.blake2b(image.data, digest_size=16).digest()


class Runner:
    """Computes a module on images `(N, H, W, C)` uint8: in ONNX Runtime, if that gives the same.

    Args:
        module: Takes a tensor of such images.
        callbacks: Their `note` is called if it runs in PyTorch only.
    """

    def __init__(self, module: nn.Module, callbacks: Sequence[Callback] = ()) -> None:
        self.module = module.eval()
        self.callbacks = callbacks
        self._run: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self._run is None:
            self._run = self._fastest(images[:2])
        return self._run(images)

    def _fastest(
        self, images: NDArray[np.uint8]
    ) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
        """ONNX Runtime, if it gives the same features of these images, else PyTorch."""
        more = np.concatenate([images, images[:1]])  # as many as were exported might be built in
        expected = self._in_torch(more)
        try:
            run = self._in_onnx_runtime(images)
            difference = np.abs(run(more) - expected).max()
        except Exception as error:  # the exporter raises whatever an op makes it raise
            difference, reason = np.inf, f"{type(error).__name__}: {str(error).strip()[:200]}"
        else:
            reason = f"its features differ by {difference:.3g}"
        if difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
            return run
        for callback in self.callbacks:
            callback.note(
                f"the backbone runs in PyTorch, not in the faster ONNX Runtime, because {reason}"
            )
        return self._in_torch

    @torch.inference_mode()
    def _in_torch(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self.module(torch.from_numpy(images)).numpy()
        return found

    def _in_onnx_runtime(
        self, images: NDArray[np.uint8]
    ) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
        import onnxruntime

        exported = BytesIO()
        logger = logging.getLogger("torch.onnx")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            with warnings.catch_warnings():
                # The newer exporter needs onnxscript; this one is deprecated, but works. It also
                # warns of sizes that become constants, as they should.
                warnings.simplefilter("ignore")
                torch.onnx.export(
                    self.module,
                    (torch.from_numpy(images),),
                    exported,  # type: ignore[arg-type] # this exporter takes a stream, too
                    dynamo=False,
                    opset_version=17,
                    input_names=["images"],
                    output_names=["features"],
                    dynamic_axes={"images": {0: "n"}, "features": {0: "n"}},
                )
        finally:
            logger.setLevel(level)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Threads that spin while they wait are slow beside other busy processes.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session: Any = onnxruntime.InferenceSession(
            exported.getvalue(), options, providers=["CPUExecutionProvider"]
        )

        def run(some: NDArray[np.uint8]) -> NDArray[np.float32]:
            features: NDArray[np.float32] = session.run(None, {"images": some})[0]
            return features

        return run


def _identity(backbone: nn.Module, input_spec: InputSpec) -> bytes:
    """16 bytes that stand for the backbone, its weights and the normalization of its input."""
    found = hashlib.blake2b(digest_size=16)
    kind = f"{type(backbone).__qualname__} {getattr(backbone, 'options', '')}"
    found.update(f"{kind} {input_spec.color} {input_spec.shape}".encode())
    found.update(f"{input_spec.scale} {input_spec.bias}".encode())
    for name, tensor in backbone.state_dict().items():
        if name.startswith("concepts."):  # a layer on top of the features
            continue
        found.update(f"{name} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().numpy())
    return found.digest()
