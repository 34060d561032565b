"""`Session`: a graph in ONNX Runtime.

ONNX Runtime rewrites a graph before it runs it. Some of its rewriting passes break valid graphs, so
that they cannot be loaded or run, or compute other numbers. Passes known for wrong numbers are
always off (`DISABLED`). If a graph fails with the others, it is tried without any; only if it fails
then, too, the file is to blame. Else the few passes that break it are found and switched off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from numpy.typing import NDArray

from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.file.time_limit import TimeLimitError, seconds_left
from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.graph.export import onnx_model
from pocketlens.coreml.graph.pruning import inner_graphs
from pocketlens.coreml.runtime.interrupts import interruptible
from pocketlens.errors import FeatureError, ModelFileError, UnsupportedModelError

__all__ = ["DISABLED", "PASSES", "Session"]

MAX_ONNX_BYTES = 2**31 - 1
LONG = 100_000
"""With fewer elements in all tensors together and without loops, a run always ends quickly."""

DISABLED = {
    "ConstantSharing": "takes time with the square of the number of constants, and the graph "
    "builder stores equal constants once already",
}
"""Passes that are off for every graph, each with the reason. Held by tests/…/test_optimizer.py."""

# The passes of ONNX Runtime for CPUs that may be switched off by name, the frequent culprits first.
# An unknown name is ignored, so the list serves all versions.
PASSES = (
    *("MatMulScaleFusion", "MatmulTransposeFusion", "MatMulAddFusion", "GemmTransposeFusion"),
    *("GemmSumFusion", "GemmActivationFusion", "MatMul_BatchNormalization_Fusion"),
    *("MatMulActivationFusion", "MatMulIntegerToFloatFusion", "DynamicQuantizeMatMulFusion"),
    *("Pad_Fusion", "ConvAddFusion", "ConvBNFusion", "ConvMulFusion", "ConvActivationFusion"),
    *("ConvAddActivationFusion", "NchwcTransformer", "NhwcTransformer", "AttentionFusion"),
    *("EmbedLayerNormFusion", "LayerNormFusion", "LayerNormFusionL1", "LayerNormFusionL2"),
    *("SimplifiedLayerNormFusion", "SkipLayerNormFusion", "BiasSkipLayerNormFusion"),
    *("GeluFusion", "GeluFusionL1", "GeluFusionL2", "BiasGeluFusion", "FastGeluFusion"),
    *("QuickGeluFusion", "BiasSoftmaxFusion", "BiasDropoutFusion", "GroupQueryAttentionFusion"),
    *("GroupQueryAttentionPreNormFusion", "GqaValueLayoutTransformer", "MatMulNBitsFusion"),
    *("MatMulNBitsMlpFusion", "MatMulNBitsQkvFusion", "DQMatMulNBitsFusion"),
    *("ReshapeFusion", "TransposeOptimizer", "GatherToSliceFusion", "GatherSliceToSplitFusion"),
    *("SliceConcatToSpaceToDepthFusion", "LabelEncoderFusion", "NotWhereFusion", "DivMulFusion"),
    *("ReluClipFusion", "FuseReluClip", "ReluQuantRewrite", "ClipQuantRewrite"),
    *("UnsqueezeElimination", "EliminateIdentity", "EliminateSlice", "NoopElimination"),
    *("EliminateDropout", "ExpandElimination", "CastElimination", "CastChainElimination"),
    *(
        "PreShapeNodeElimination",
        "RemoveDuplicateCastTransformer",
        "CommonSubexpressionElimination",
    ),
    *("ConstantFolding", "ConstantFoldingDQ", "FreeDimensionOverrideTransformer"),
    *("QDQPropagationTransformer", "QDQS8ToU8Transformer", "QDQSelectorActionTransformer"),
    *("QDQFinalCleanupTransformer", "DoubleQDQPairsRemover", "EnsureUniqueDQForNodeUnit"),
    *("WhereDummyDq", "WeightBiasQuantization", "Avx2WeightS8ToU8Transformer"),
    *("Level1_RuleBasedTransformer", "Level2_RuleBasedTransformer"),
    *("Level3_RuleBasedTransformer", "FuseInitializersTransformer"),
)


class Session:
    """A graph that is ready to run in ONNX Runtime.

    Attributes:
        disabled: The passes that break this graph and are off, besides `DISABLED`.
        optimized: False if the graph runs only without any pass.
    """

    def __init__(
        self,
        file: ModelFile,
        graph: Graph,
        outputs: Sequence[Value] | None = None,
        *,
        threads: int = 0,
        write: Callable[..., Any] = onnx_model,
    ) -> None:
        """Load the graph.

        Args:
            file: The model file, for messages and limits.
            graph: The finished graph.
            outputs: The session's outputs; the graph's outputs by default.
            threads: How many threads one run uses; 0: as many as there are processors.
            write: Turns the graph into an ONNX model, as `onnx_model` does.

        Raises:
            ModelFileError: ONNX Runtime cannot run the graph, with its passes or without.
            UnsupportedModelError: The graph is too large for an ONNX file.
        """
        import onnxruntime

        self._file = file
        self._threads = threads
        # ONNX Runtime uses the weights in place, so they are kept here.
        self._weights: dict[str, NDArray[Any]] = {}
        self._model = write(graph, outputs, apart=self._weights).SerializeToString()
        if len(self._model) > MAX_ONNX_BYTES:
            raise UnsupportedModelError(
                f"{file.path} has {len(self._model)} bytes as an ONNX graph; "
                f"expected at most {MAX_ONNX_BYTES}"
            )
        self._values = [
            onnxruntime.OrtValue.ortvalue_from_numpy(weight) for weight in self._weights.values()
        ]
        self._stops = graph.stops
        self._long = graph.steps is not None or graph.elements() >= LONG
        self._large = len(graph.nodes) > 2000
        self.optimized = True
        # Pad_Fusion moves zero padding into the pooling that follows. Pooling rejects padding as
        # large as its window, and MaxPool would not count a padded zero: wrong numbers.
        self.disabled: tuple[str, ...] = ("Pad_Fusion",) if _pads_before_pooling(graph) else ()
        try:
            self._session = self._loaded(self.disabled)
        except _OnnxRuntimeError as failure:
            self._session = self._repaired(failure, lambda _: None)

    def run(self, names: list[str], feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the graph once.

        Args:
            names: The outputs to compute.
            feed: The inputs, by name.

        Raises:
            FeatureError: The graph fails on these inputs, with the passes of ONNX Runtime or
                without.
            TimeLimitError: The time of `time_limited` is up.
        """
        try:
            return self._run(self._session, names, feed)
        except _OnnxRuntimeError as failure:
            stops = [self._stops[node] for node in failure.nodes if node in self._stops]
            if stops:
                raise FeatureError(f"{self._file.path}: {stops[-1]} on these inputs") from failure
            if not self.optimized or failure.memory_full:
                raise self._input_error(failure) from failure
            first = failure
        try:
            session = self._repaired(first, lambda session: self._run(session, names, feed))
        except ModelFileError as error:
            raise self._input_error(first) from error
        self._session = session
        return self._run(session, names, feed)

    def _input_error(self, failure: _OnnxRuntimeError) -> FeatureError:
        return FeatureError(f"{self._file.path} fails on these inputs: {failure}")

    def _run(
        self, session: Any, names: list[str], feed: dict[str, NDArray[Any]]
    ) -> list[NDArray[Any]]:
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.log_severity_level = 4

        def work() -> list[NDArray[Any]]:
            results: list[NDArray[Any]] = session.run(names, feed, options)
            return results

        def cancel() -> None:
            options.terminate = True

        try:
            return interruptible(work, cancel, seconds_left()) if self._long else work()
        except TimeLimitError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions have no narrower common base class
            raise _OnnxRuntimeError(error) from error

    def _repaired(self, failure: _OnnxRuntimeError, check: Callable[[Any], object]) -> Any:
        """A session with the passes off that break the graph; `check` raises if they still do."""

        def works(passes: Iterable[str], *, optimized: bool = True) -> Any:
            try:
                session = self._loaded((*self.disabled, *passes), optimized=optimized)
                check(session)
            except _OnnxRuntimeError:
                return None
            return session

        plain = works((), optimized=False)
        if plain is None:
            raise ModelFileError(f"{self._file.path} cannot be run: {failure}") from failure
        if works(PASSES) is None:
            self.optimized = False
            return plain
        guilty = _smallest(PASSES, lambda passes: works(passes) is not None)
        session = works(guilty)
        self.disabled += guilty
        return session

    def _loaded(self, disabled: Sequence[str], *, optimized: bool = True) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors are raised; a log line would repeat them
        options.add_external_initializers(list(self._weights), self._values)
        options.intra_op_num_threads = self._threads
        # ONNX Runtime would turn float weights between dequantize and quantize into int8.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        if not optimized:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL

        def load() -> Any:
            return onnxruntime.InferenceSession(
                self._model,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=[*DISABLED, *disabled],
            )

        def cancel() -> None:
            if hasattr(options, "set_load_cancellation_flag"):  # since ONNX Runtime 1.21
                options.set_load_cancellation_flag(True)

        try:
            return interruptible(load, cancel, seconds_left()) if self._large else load()
        except TimeLimitError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions have no narrower common base class
            raise _OnnxRuntimeError(error) from error


class _OnnxRuntimeError(Exception):
    """An error of ONNX Runtime, its message on one line."""

    def __init__(self, error: Exception) -> None:
        super().__init__(" ".join(str(error).split()))

    @property
    def nodes(self) -> list[str]:
        """The nodes that failed, from the outermost graph to the innermost."""
        return re.findall(r"Name:'([^']*)'", str(self))

    @property
    def memory_full(self) -> bool:
        """Whether no other session would help, because a tensor does not fit into memory."""
        return "allocate memory" in str(self) or "bad_alloc" in str(self)


def _smallest(
    passes: tuple[str, ...],
    helps: Callable[[tuple[str, ...]], bool],
    beside: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Few of `passes` that help together with `beside`, as all of them do; found by halving."""
    if len(passes) < 2:
        return passes
    first, second = passes[: len(passes) // 2], passes[len(passes) // 2 :]
    for half in (first, second):
        if helps(beside + half):
            return _smallest(half, helps, beside)
    needed = _smallest(second, helps, beside + first)
    return needed + _smallest(first, helps, beside + needed)


def _pads_before_pooling(graph: Graph) -> bool:
    """Whether the input of any pooling is a padded tensor, here or in an inner graph."""
    padded: set[str] = set()
    for node in graph.nodes:
        if any(map(_pads_before_pooling, inner_graphs(node))):
            return True
        after_padding = any(value is not None and value.name in padded for value in node.inputs)
        if after_padding and node.op.endswith("Pool"):
            return True
        if node.op == "Pad" or (after_padding and node.op == "Identity"):
            padded.update(value.name for value in node.outputs)
    return False
