"""Small real Core ML files of every kind, for the fuzzers to damage.

    python fuzz/samples.py FOLDER          write all of them to FOLDER
    python fuzz/samples.py --corpus        write those under 2 kB to fuzz/corpus/

They are created by coremltools' own converter and builders, and by Pocketlens' converter.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from classics import CLASSICS

__all__ = ["SAMPLES", "write_samples"]

CORPUS = Path(__file__).with_name("corpus")
SMALL = 2048

Sample = Callable[[], Any]


def weights(*shape: int) -> Any:
    """Random weights, always the same for a shape, so that each sample is always the same file."""
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def _converted(program: Any, target: str = "iOS18", **options: Any) -> Any:
    import coremltools as ct

    return ct.convert(program, minimum_deployment_target=getattr(ct.target, target), **options)


def _program(*specs: Any, target: str = "iOS18") -> Callable[..., Any]:
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb

    return mb.program(input_specs=list(specs), opset_version=getattr(ct.target, target))


def _tensor(*shape: int) -> Any:
    from coremltools.converters.mil import Builder as mb

    return mb.TensorSpec(shape)


def program_layers() -> Any:
    """Convolution, normalization, pooling, a linear layer; weights in the weights file."""
    from coremltools.converters.mil import Builder as mb

    @_program(_tensor(1, 3, 8, 8), target="iOS15")
    def program(x: Any) -> Any:
        x = mb.conv(x=x, weight=weights(4, 3, 3, 3), bias=weights(4), pad_type="same")
        one, zero = np.ones(4, np.float32), np.zeros(4, np.float32)
        x = mb.batch_norm(x=x, mean=weights(4), variance=one, gamma=one, beta=zero)
        x = mb.max_pool(x=mb.relu(x=x), kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid")
        x = mb.reshape(x=x, shape=[1, 64])
        return mb.softmax(x=mb.linear(x=x, weight=weights(5, 64)), axis=-1, name="y")

    return _converted(program, "iOS15")


def program_shapes() -> Any:
    """Slicing, gathering, resizing, sorting: ops whose arguments are sizes and indices."""
    from coremltools.converters.mil import Builder as mb

    @_program(_tensor(1, 2, 6, 6))
    def program(x: Any) -> Any:
        a = mb.slice_by_index(x=x, begin=[0, 0, 1, 0], end=[1, 2, 6, 6], stride=[1, 1, 2, 3])
        a = mb.tile(x=mb.transpose(x=a, perm=[0, 1, 3, 2]), reps=[1, 1, 2, 1])
        b = mb.upsample_nearest_neighbor(x=x, scale_factor_height=2, scale_factor_width=2)
        b = mb.resize_bilinear(x=b, target_size_height=4, target_size_width=3)
        c = mb.pad(x=b, pad=[1, 0, 0, 1], mode="constant", constant_val=1.0)
        d = mb.gather(x=c, indices=np.array([0, 2, 1, 1], np.int32), axis=2)
        e = mb.scatter(data=a, indices=np.array([1, 0], np.int32), updates=a, axis=1)
        values, _ = mb.topk(x=d, k=2, axis=-1)
        first, second = mb.split(x=values, num_splits=2, axis=3)
        f = mb.concat(values=[first, second], axis=1)
        g = mb.one_hot(
            indices=mb.cast(x=mb.reduce_max(x=e, axes=[0]), dtype="int32"), one_hot_vector_size=3
        )
        return f, mb.expand_dims(x=mb.reduce_sum(x=g, axes=[0, 1]), axes=[0], name="y")

    return _converted(program)


def program_recurrent() -> Any:
    from coremltools.converters.mil import Builder as mb

    @_program(_tensor(3, 1, 2))
    def program(x: Any) -> Any:
        zero = np.zeros((1, 4), np.float32)
        y, h, _ = mb.lstm(
            x=x, initial_h=zero, initial_c=zero, weight_ih=weights(16, 2), weight_hh=weights(16, 4)
        )
        y2, _ = mb.gru(x=y, initial_h=h, weight_ih=weights(12, 4), weight_hh=weights(12, 4))
        return mb.identity(x=y2, name="y")

    return _converted(program)


def program_loop() -> Any:
    """A loop with a branch inside."""
    from coremltools.converters.mil import Builder as mb

    @_program(_tensor(2))
    def program(x: Any) -> Any:
        def body(i: Any, v: Any) -> Any:
            def low() -> Any:
                return mb.add(x=v, y=np.float32(1))

            def high() -> Any:
                return mb.mul(x=v, y=np.float32(2))

            chosen = mb.cond(pred=mb.less(x=i, y=2), _true_fn=low, _false_fn=high)
            return mb.add(x=i, y=1), chosen

        last, v = mb.while_loop(
            _cond=lambda i, v: mb.less(x=i, y=5),  # noqa: ARG005 (a condition gets all variables)
            _body=body,
            loop_vars=(0, x),
        )
        return mb.cast(x=last, dtype="fp32"), v

    return _converted(program)


def program_list() -> Any:
    from coremltools.converters.mil import Builder as mb

    @_program(_tensor(2))
    def program(x: Any) -> Any:
        items = mb.make_list(init_length=3, elem_shape=(2,), dynamic_length=True)
        items = mb.list_write(ls=items, index=0, value=x)
        items = mb.list_write(ls=items, index=2, value=mb.square(x=x))
        return mb.list_gather(ls=items, indices=np.array([2, 0], np.int32), name="y")

    return _converted(program)


def program_state() -> Any:
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil import types

    @_program(mb.TensorSpec((2, 3), dtype=types.fp16), mb.StateTensorSpec((2, 3), dtype=types.fp16))
    def program(x: Any, kept: Any) -> Any:
        total = mb.add(x=mb.read_state(input=kept), y=x)
        return mb.add(x=mb.coreml_update_state(state=kept, value=total), y=x, name="y")

    return _converted(program)


def program_attention() -> Any:
    from coremltools.converters.mil import Builder as mb

    @_program(_tensor(1, 2, 4, 8), _tensor(1, 2, 4, 8))
    def program(q: Any, k: Any) -> Any:
        return mb.scaled_dot_product_attention(query=q, key=k, value=mb.gelu(x=k), name="y")

    return _converted(program)


def program_palettized() -> Any:
    """Weights of four bits with a palette."""
    import coremltools.optimize.coreml as cto

    made = program_layers()
    config = cto.OptimizationConfig(
        cto.OpPalettizerConfig(mode="uniform", nbits=4, weight_threshold=0)
    )
    return cto.palettize_weights(made, config)


def program_quantized() -> Any:
    import coremltools.optimize.coreml as cto

    made = program_recurrent()
    config = cto.OptimizationConfig(cto.OpLinearQuantizerConfig(weight_threshold=0))
    return cto.linear_quantize_weights(made, config)


def program_flexible() -> Any:
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb

    size = ct.RangeDim(1, 9, 4, symbol="n")

    @mb.program(input_specs=[mb.TensorSpec((size.symbol, 3))], opset_version=ct.target.iOS16)
    def program(x: Any) -> Any:
        rows = mb.reduce_mean(x=x, axes=[0], keep_dims=True)
        return mb.matmul(x=mb.sub(x=x, y=rows), y=weights(3, 2), name="y")

    return _converted(program, "iOS16", inputs=[ct.TensorType("x", (size, 3))])


def program_functions() -> Any:
    """Two functions that share their weights."""
    import coremltools as ct

    def write(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            one = str(Path(folder) / "one.mlpackage")
            program_attention().save(one)
            both = ct.utils.MultiFunctionDescriptor()
            both.add_function(one, "main", "first")
            both.add_function(one, "main", "second")
            both.default_function_name = "first"
            ct.utils.save_multifunction(both, str(path))

    return write


def program_classifier() -> Any:
    """An image classifier, written by Pocketlens' own converter."""
    import torch

    from pocketlens.conversion import convert
    from pocketlens.image import InputSpec

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3, stride=2), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(18, 3),
    )  # fmt: skip
    spec = InputSpec(8, 8, "gray")
    return lambda path: convert(network, path, labels=["one", "two", "nothing"], input_spec=spec)


def _network(inputs: dict[str, tuple[int, ...]], outputs: dict[str, Any], **options: Any) -> Any:
    from coremltools.models import datatypes
    from coremltools.models.neural_network import NeuralNetworkBuilder

    return NeuralNetworkBuilder(
        [(name, datatypes.Array(*shape)) for name, shape in inputs.items()],
        [
            (name, None if shape is None else datatypes.Array(*shape))
            for name, shape in outputs.items()
        ],
        **options,
    )


def network_image() -> Any:
    """The older array mapping; an image with preprocessing; 4-bit weights."""
    from coremltools.models.neural_network import quantization_utils

    b = _network({"x": (3, 8, 8)}, {"y": (4,)})
    b.add_convolution("c", 3, 2, 3, 3, 1, 1, "same", 1, weights(3, 3, 3, 2), weights(2), True,
                      input_name="x", output_name="a")  # fmt: skip
    b.add_activation("r", "LEAKYRELU", "a", "b", [0.1])
    b.add_pooling("p", 2, 2, 2, 2, "MAX", "VALID", "b", "d")
    b.add_flatten("f", 0, "d", "e")
    b.add_inner_product("i", weights(4, 32), weights(4), 32, 4, True, "e", "g")
    b.add_softmax("s", "g", "y")
    b.set_pre_processing_parameters(
        image_input_names=["x"], is_bgr=True, red_bias=-1.0, image_scale=0.01
    )
    import coremltools as ct

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return quantization_utils.quantize_weights(
            ct.models.MLModel(b.spec, skip_model_load=True), 4
        )


def network_recurrent() -> Any:
    b = _network({"x": (3,), "h": (4,), "c": (4,)}, {"y": (4,), "h2": (4,), "c2": (4,)})
    gates = [weights(4, 3) for _ in range(4)]
    memory = [weights(4, 4) for _ in range(4)]
    b.add_unilstm("l", memory, gates, [weights(4) for _ in range(4)], 4, 3,
                  ["x", "h", "c"], ["a", "h2", "c2"], output_all=True)  # fmt: skip
    b.add_simple_rnn("r", memory[0], memory[1], None, 4, 4, "TANH", ["a", "h"], ["y", "h3"])
    return b.spec


def network_loop() -> Any:
    """The newer (exact) mapping; a loop that overwrites a tensor, and a branch."""
    from coremltools.models.neural_network import NeuralNetworkBuilder

    b = _network({"x": (2,)}, {"y": None}, disable_rank5_shape_mapping=True)
    b.add_copy("start", "x", "y")
    b.add_load_constant_nd("one", "one", np.ones(1, np.float32), (1,))
    loop = b.add_loop("loop", max_iterations=3)
    body = NeuralNetworkBuilder(nn_spec=loop.loop.bodyNetwork)
    body.add_elementwise("add", ["y", "one"], "z", "ADD")
    body.add_copy("back", "z", "y")
    branch = b.add_branch("branch", "one")
    inner = NeuralNetworkBuilder(nn_spec=branch.branch.ifBranch)
    inner.add_unary("exp", "x", "e", "exp")
    return b.spec


def network_shapes() -> Any:
    b = _network({"x": (2, 3, 4)}, {"y": None, "k": None}, disable_rank5_shape_mapping=True)
    b.add_slice_static("s", "x", "a", [0, 0, 1], [2, 3, 4], [1, 2, 1],
                       [False] * 3, [False] * 3)  # fmt: skip
    b.add_transpose("t", [0, 2, 1], "a", "b")
    b.add_reshape_static("r", "b", "c", (2, 6))
    b.add_topk("k", ["c"], ["k", "i"], 2, 1)
    b.add_split_nd("p", "c", ["d", "e"], 1, 2)
    b.add_concat_nd("n", ["d", "e"], "f", 0)
    b.add_gather("g", ["c", "i"], "h", 1)
    b.add_reduce_sum("m", "h", "j", axes=[0])
    b.add_constant_pad("q", ["j"], "u", 1.0, pad_to_given_output_size_mode=False,
                       pad_amounts=[0, 1, 1, 0, 0, 0])  # fmt: skip
    b.add_tile("l", "u", "v", [2, 1])
    b.add_one_hot("o", ["i"], "w", one_hot_vector_size=4)
    b.add_copy("y", "v", "y")
    return b.spec


def network_flexible() -> Any:
    from coremltools.models.neural_network import flexible_shape_utils

    b = _network({"x": (3, 6, 6)}, {"y": (3, 3, 3)})
    b.add_pooling("p", 2, 2, 2, 2, "AVERAGE", "VALID", "x", "a")
    b.add_upsample("u", 2, 2, "a", "b", mode="BILINEAR")
    b.add_bias("s", weights(3), "b", "y", [3])
    flexible_shape_utils.add_multiarray_ndshape_enumeration(b.spec, "x", [(3, 8, 8), (3, 4, 6)])
    return b.spec


SAMPLES: dict[str, Sample] = {
    made.__name__: made
    for made in (
        program_layers, program_shapes, program_recurrent, program_loop, program_list,
        program_state, program_attention, program_palettized, program_quantized, program_flexible,
        program_functions, program_classifier, network_image, network_recurrent, network_loop,
        network_shapes, network_flexible,
    )
} | CLASSICS  # fmt: skip
"""Name -> a function that returns an MLModel, a specification, or a function that writes a file."""


def write_samples(folder: Path) -> list[Path]:
    """Write every sample that is not in `folder` yet, and return the paths of all, sorted."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, make in SAMPLES.items():
        kind = ".mlpackage" if name.startswith("program_") else ".mlmodel"
        path = folder / f"{name}{kind}"
        paths.append(path)
        if path.exists():
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = make()
            if callable(made):
                made(path)
            elif kind == ".mlpackage":
                made.save(str(path))
            else:
                spec = made.get_spec() if hasattr(made, "get_spec") else made
                path.write_bytes(spec.SerializeToString(deterministic=True))
    return sorted(paths)


def write_corpus() -> list[Path]:
    """Write the samples of at most `SMALL` bytes to `CORPUS`."""
    with tempfile.TemporaryDirectory() as folder:
        written = []
        for path in write_samples(Path(folder)):
            message = path / "Data/com.apple.CoreML/model.mlmodel" if path.is_dir() else path
            content = message.read_bytes()
            if len(content) <= SMALL:
                written.append(CORPUS / "model" / path.stem)
                written[-1].parent.mkdir(parents=True, exist_ok=True)
                written[-1].write_bytes(content)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--corpus", action="store_true")
    options = parser.parse_args()
    if not options.corpus and options.folder is None:
        parser.error("expected a folder, or --corpus")
    for path in write_corpus() if options.corpus else write_samples(options.folder):
        print(path)


if __name__ == "__main__":
    main()
