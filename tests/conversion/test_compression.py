"""Compressed Core ML files: each kind against coremltools' own decompression and plain NumPy."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketlens.conversion import convert
from pocketlens.conversion.compression import Compressor
from pocketlens.conversion.compression.encodings import (
    Linear,
    Palette,
    Pruned,
    assign,
    encode_linear,
    encode_palette,
    fit_table,
    prune,
)
from pocketlens.conversion.compression.kinds import KINDS, by_name, encode, mixed_widths
from pocketlens.conversion.compression.upgrading import upgrade
from pocketlens.conversion.compression.weights import Weight
from pocketlens.conversion.quiet import import_coremltools, quiet
from pocketlens.coreml import inspect, load
from pocketlens.coreml.file.proto import generated
from pocketlens.errors import ConversionError, OptionError
from pocketlens.files import size_on_disk
from pocketlens.image import InputSpec
from pocketlens.recognizer import Recognizer

SPEC = InputSpec(16, 16, "rgb")

NAMES = [kind.name for kind in KINDS.values() if kind.bits is None]


@pytest.fixture(scope="module")
def files(
    tmp_path_factory: pytest.TempPathFactory, make_recognizer: Callable[..., Recognizer]
) -> dict[str, Path]:
    """The same network as an ML Program of iOS 16, one of iOS 18, and a neural network."""
    folder = tmp_path_factory.mktemp("files")
    source = make_recognizer(SPEC)
    found = {"mlmodel": convert(source, folder / "m.mlmodel", check=False)}
    found["ios16"] = convert(source, folder / "m.mlpackage", check=False)
    found["ios18"] = upgrade(found["ios16"], 18, folder)
    return found


def decompressed(path: Path, folder: Path) -> Path:
    """The file with plain weights again, as coremltools reads the compressed ones."""
    ct = import_coremltools()
    import coremltools.optimize as optimize

    with quiet():
        model = ct.models.MLModel(str(path), skip_model_load=True)
        plain = optimize.coreml.decompress_weights(model)
    plain.save(str(folder / "plain.mlpackage"))
    return folder / "plain.mlpackage"


@pytest.mark.parametrize("form", ["ios16", "ios18"])
@pytest.mark.parametrize("name", NAMES)
def test_a_compressed_program_is_read_as_coremltools_reads_it(
    name: str,
    form: str,
    files: dict[str, Path],
    tmp_path: Path,
    noise: Callable[[InputSpec], NDArray[np.uint8]],
) -> None:
    compressor = Compressor(files[form])
    if not compressor.can(KINDS[name]):
        pytest.skip("needs iOS 18")
    written = compressor.write(tmp_path / "small.mlpackage", KINDS[name])
    original, small = load(files[form]), load(written)
    assert (small.classes, small.input_spec) == (original.classes, original.input_spec)
    assert small.thresholds == original.thresholds
    assert size_on_disk(written) < size_on_disk(files[form])
    images = noise(SPEC)[:8]
    plain = load(decompressed(written, tmp_path))
    np.testing.assert_allclose(small.probabilities(images), plain.probabilities(images), atol=2e-3)
    if name in ("linear-8", "palette-8"):
        np.testing.assert_allclose(
            small.probabilities(images), original.probabilities(images), atol=0.05
        )


@pytest.mark.parametrize("name", ["linear-8", "palette-6", "palette-2", "mixed-4"])
def test_a_compressed_network_is_read_as_numpy_says(
    name: str,
    files: dict[str, Path],
    tmp_path: Path,
    noise: Callable[[InputSpec], NDArray[np.uint8]],
) -> None:
    compressor = Compressor(files["mlmodel"])
    encodings = encode(KINDS[name], compressor.weights).encodings
    assert encodings
    written = load(compressor.write(tmp_path / "small.mlmodel", KINDS[name]))
    # The same file with the numbers that the tables stand for.
    spec = type(compressor.file.spec)()
    spec.CopyFrom(compressor.file.spec)
    for key, encoding in encodings.items():
        layer = spec.neuralNetworkClassifier.layers[int(key)]
        kind = layer.WhichOneof("layer")
        weights = getattr(layer, kind).weights
        weights.Clear()
        weights.floatValue.extend(encoding.dense().reshape(-1).tolist())
    (tmp_path / "plain.mlmodel").write_bytes(spec.SerializeToString())
    images = noise(SPEC)[:8]
    plain = load(tmp_path / "plain.mlmodel")
    np.testing.assert_allclose(
        written.probabilities(images), plain.probabilities(images), atol=1e-6
    )


def test_equal_files_from_equal_weights(files: dict[str, Path], tmp_path: Path) -> None:
    contents = []
    for number in range(2):
        path = tmp_path / f"{number}.mlpackage"
        Compressor(files["ios16"]).write(path, KINDS["palette-4"])
        contents.append([each.read_bytes() for each in sorted(path.rglob("*")) if each.is_file()])
    assert contents[0] == contents[1]


def test_linear_numbers() -> None:
    weight = np.array([[1.0, -2.54, 0.5], [0, 0, 0]], np.float32)
    found = encode_linear(weight, 0)
    assert found.codes.tolist() == [[50, -127, 25], [0, 0, 0]]
    np.testing.assert_allclose(found.scale, [0.02, 0], rtol=1e-6)
    np.testing.assert_allclose(found.dense(), weight, atol=0.01)
    random = np.random.default_rng(0).standard_normal((4, 5, 6)).astype(np.float16)
    middle = encode_linear(random, 1)
    assert middle.scale.shape == (5,)
    largest = np.abs(random).max(axis=(0, 2), keepdims=True)
    assert (np.abs(middle.dense() - random) <= largest / 127).all()


def test_a_palette_has_the_nearest_numbers() -> None:
    weight = np.random.default_rng(1).standard_normal((8, 3, 3, 3)).astype(np.float16)
    for width in (1, 2, 4, 6, 8):
        found = encode_palette(weight, width)
        table = found.table[0].astype(np.float64)
        assert found.table.shape == (1, 1 << width)
        distance = np.abs(weight.astype(np.float64)[..., None] - table)
        np.testing.assert_array_equal(
            np.abs(found.dense().astype(np.float64) - weight), distance.min(-1)
        )
    exact = np.array([[0.5, -1, 2, 0.5], [2, -1, -1, 7]], np.float32)
    np.testing.assert_array_equal(encode_palette(exact, 2).dense(), exact)


def test_k_means_is_about_as_good_as_that_of_scikit_learn() -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    numbers = np.random.default_rng(2).standard_normal(3000)
    for width in (2, 4):
        table = fit_table(numbers, width)
        ours = ((table[assign(numbers, table)] - numbers) ** 2).sum()
        theirs = cluster.KMeans(1 << width, n_init=3, random_state=0).fit(numbers[:, None])
        assert ours <= 1.05 * theirs.inertia_


def test_groups_of_channels_have_tables_of_their_own() -> None:
    weight = np.random.default_rng(3).standard_normal((5, 8, 2)).astype(np.float32)
    weight[:, 4:] *= 100
    found = encode_palette(weight, 4, axis=1, group=4)
    assert found.table.shape == (2, 16)
    for part in (slice(0, 4), slice(4, 8)):
        alone = encode_palette(weight[:, part], 4)
        np.testing.assert_array_equal(found.dense()[:, part], alone.dense())


def test_pruning_keeps_the_largest() -> None:
    weight = np.array([[3, -1, 0.5], [-4, 2, 0]], np.float32)
    found = prune(weight, 0.5)
    assert found.dense().tolist() == [[3, 0, 0], [-4, 2, 0]]
    assert found.bits == 1 + 32 * 3 / 6
    assert prune(weight, 0.5, 2).dense().tolist() == [[3, 0, 0], [-4, 2, 0]]


def test_mixed_widths_spend_bits_where_they_avert_noise() -> None:
    random = np.random.default_rng(0)
    sizes = {"large": 20_000, "first": 3000, "small": 2000}
    arrays = {name: random.standard_normal((n // 10, 10)) for name, n in sizes.items()}
    arrays["easy"] = random.integers(0, 4, (800, 10)).astype(float)  # has four numbers only
    weights = [Weight(name, name, array.astype("f2"), 0) for name, array in arrays.items()]
    found = mixed_widths(weights, 4.5, {})
    assert found == {"large": 4, "first": 8, "small": 8, "easy": 2}
    assert set(mixed_widths(weights, 2, {}).values()) == {2}
    assert sum(found[each.key] * each.array.size for each in weights) <= 4.5 * 33_000


def test_bits_count_the_tables() -> None:
    weight = np.ones((4, 100), np.float16)
    assert encode_linear(weight, 0).bits == 8 + 4 * 16 / 400
    assert encode_palette(weight, 4).bits == 4 + 16 * 16 / 400
    found: list[Any] = [encode_linear(weight, 0), encode_palette(weight, 4), prune(weight, 0)]
    assert [type(each) for each in found] == [Linear, Palette, Pruned]


def test_the_description_gets_smaller_and_keeps_its_meaning(
    files: dict[str, Path], tmp_path: Path
) -> None:
    written = Compressor(files["ios16"]).write(tmp_path / "m.mlpackage", KINDS["palette-4"])
    before, after = inspect(files["ios16"]), inspect(written)
    assert after["compressed"]["palettized"] >= 1
    assert (after["inputs"], after["outputs"]) == (before["inputs"], before["outputs"])
    assert after["metadata"] == before["metadata"]
    sizes = [
        (path / "Data/com.apple.CoreML/model.mlmodel").stat().st_size
        for path in (files["ios16"], written)
    ]
    assert sizes[1] < 0.9 * sizes[0]


def test_unknown_kinds() -> None:
    with pytest.raises(OptionError, match="'palete-4'; did you mean 'palette-4'?"):
        by_name(["linear-8", "palete-4"])
    with pytest.raises(OptionError, match="no kind of compression is named; expected some of"):
        by_name([])


def test_files_that_cannot_be_compressed(files: dict[str, Path], tmp_path: Path) -> None:
    for form in ("ios16", "mlmodel"):
        kind = KINDS["palette-4"]
        small = Compressor(files[form]).write(tmp_path / f"small{files[form].suffix}", kind)
        with pytest.raises(ConversionError, match="is compressed already; compress the file that"):
            Compressor(small)
    kinds = {
        "treeEnsembleClassifier": "is a tree ensemble (classifier); only an ML Program",
        "pipelineClassifier": "is a pipeline (classifier); only an ML Program",
        "glmClassifier": "is a linear classifier; only an ML Program",
        "neuralNetwork": "has no weights that get smaller: 0 numbers in 0 weights",
    }
    for field, text in kinds.items():
        path = save_kind(tmp_path, field)
        with pytest.raises(ConversionError, match=re.escape(text)):
            Compressor(path)
    path = save_kind(tmp_path, "neuralNetwork", updatable=True)
    with pytest.raises(ConversionError, match="can be trained on the phone"):
        Compressor(path)


def save_kind(folder: Path, field: str, *, updatable: bool = False) -> Path:
    """A file of this kind, with nothing in it."""
    spec = generated("Model_pb2").Model(specificationVersion=4, isUpdatable=updatable)
    getattr(spec, field).SetInParent()
    path = folder / f"{field}.mlmodel"
    path.write_bytes(spec.SerializeToString())
    return path
