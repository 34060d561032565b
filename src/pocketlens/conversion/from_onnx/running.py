"""Run an ONNX network as it is in its file, in ONNX Runtime: what conversions are checked against.

ONNX Runtime's optimizations are off, so nothing is rewritten or computed in advance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.from_onnx.reading import node_text
from pocketlens.conversion.quiet import first_line
from pocketlens.coreml.file.time_limit import TimeLimitError, default_time_limit
from pocketlens.coreml.runtime.interrupts import interruptible
from pocketlens.errors import ConversionError, printable

__all__ = ["Runner"]


class Runner:
    """An ONNX network in ONNX Runtime.

    Args:
        model: The `ModelProto`, with fixed input shapes.
        path: Its file, for messages.

    Raises:
        ConversionError: ONNX Runtime cannot load it.
    """

    def __init__(self, model: Any, path: Path) -> None:
        self.model = model
        self.path = path
        weights = {each.name for each in model.graph.initializer}
        self.inputs = [each for each in model.graph.input if each.name not in weights]
        self.outputs = [each.name for each in model.graph.output]
        self._session = self._load(model)

    def _load(self, model: Any) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            return onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises exceptions of its own
            raise ConversionError(
                f"ONNX Runtime cannot load {self.path}, so the Core ML file could not be compared "
                f"with it: {printable(first_line(error))[:300]}; export the network again"
            ) from error

    def run(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The outputs by name.

        Args:
            arrays: An array for each input, by name; converted to its type.

        Raises:
            ConversionError: The network cannot process them, or takes longer than the time limit.
        """
        return self._run(self._session, arrays, self.outputs)

    def tensors(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The result of every node, by name, in the order in which they run."""
        import onnx

        model = type(self.model)()
        model.CopyFrom(self.model)
        known = set(self.outputs)
        for node in model.graph.node:
            for name in node.output:
                if name and name not in known:
                    model.graph.output.append(onnx.ValueInfoProto(name=name))
                    known.add(name)
        names = [name for node in model.graph.node for name in node.output if name]
        return self._run(self._load(model), arrays, names)

    def disturbed(self, seed: int) -> Runner:
        """The same network with each weight changed by a rounding error."""
        import onnx

        random = np.random.default_rng(seed)
        model = type(self.model)()
        model.CopyFrom(self.model)
        for tensor in model.graph.initializer:
            if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
                value = onnx.numpy_helper.to_array(tensor)
                shaken = value * (1 + 3e-7 * random.standard_normal(value.shape))
                tensor.CopyFrom(onnx.numpy_helper.from_array(shaken.astype(value.dtype),
                                                             tensor.name))  # fmt: skip
        return Runner(model, self.path)

    def _run(
        self, session: Any, arrays: Mapping[str, NDArray[Any]], names: Sequence[str]
    ) -> dict[str, NDArray[Any]]:
        import onnx
        import onnxruntime

        feed = {}
        for each in self.inputs:
            tensor = each.type.tensor_type
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            shape = [dim.dim_value for dim in tensor.shape.dim]
            feed[each.name] = np.ascontiguousarray(arrays[each.name].astype(dtype).reshape(shape))
        options = onnxruntime.RunOptions()
        options.log_severity_level = 4
        seconds = default_time_limit()

        def work() -> Any:
            return session.run(list(names), feed, options)

        def cancel() -> None:
            options.terminate = True

        try:
            results = interruptible(work, cancel, seconds)
        except TimeLimitError as error:
            raise ConversionError(
                f"{self.path} takes more than {seconds:g} seconds for one run, the time limit; if "
                "the network is known to be slow, set POCKETLENS_TIME_LIMIT to more seconds"
            ) from error
        except Exception as error:  # ONNX Runtime raises exceptions of its own
            raise ConversionError(
                f"{self.path} cannot be run: {printable(first_line(error))[:300]}; export the "
                "network again"
            ) from error
        return {name: np.asarray(value) for name, value in zip(names, results, strict=True)}

    def place(self, name: str) -> str:
        """The node that makes a tensor, in words."""
        for node in self.model.graph.node:
            if name in node.output:
                return node_text(node)
        return f"'{printable(name)}'"

    def before(self, name: str) -> list[str]:
        """The tensors that the node which makes a tensor reads."""
        for node in self.model.graph.node:
            if name in node.output:
                return [each for each in node.input if each]
        return []
