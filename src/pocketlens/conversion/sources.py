"""Which files and objects can be converted: the one place that says it.

`KINDS` has one row for each kind of source, and `REFUSED` one for each kind of file that cannot be
converted, with the way round. `convert` and `verify`, in Python and on the command line, use only
these.

To add a kind:

1. Write a module `from_NAME.py` (or a folder) with a function
   `open_NAME(model, options) -> ImageSource | ArraySource`; `model` is a `Path` or the object,
   `options` a `SourceOptions`. It raises a ConversionError for what it cannot convert, which names
   the layer, op or step. It must not run code from a file, and checks sizes before it allocates.
2. A classifier of images is an `ImageSource`: it implements `probabilities` and `to_core_ml`. Any
   other model is an `ArraySource`: it sets `inputs` and `outputs`, of a classifier also `labels`,
   `label` and `probabilities`, and implements `run` and `to_core_ml`. If its inputs are tables,
   it sets `rows`: then the Core ML file may take one row, and is run on one after another.
3. Where it matters, override `probes` (made-up inputs that the model can process, with the values
   at which it changes), `tolerance`, `halves = False` if float16 changes nothing, `moved`, and
   `first_difference`.
4. Add a row to `KINDS`: the endings of its files, and a test of the object that imports nothing:
   it looks for the package in `sys.modules`. The package that is missing is named by
   `errors.missing_package`, and belongs into `errors.EXTRAS`.
5. The rest follows: `convert` checks the file before it is written, `verify` compares it on data.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pocketlens.conversion.source_kinds import ArraySource, ImageSource, SourceOptions
from pocketlens.errors import ConversionError, OptionError, instead_of_file, missing_package
from pocketlens.files import first_bytes

__all__ = ["KINDS", "REFUSED", "Kind", "Refused", "is_source_file", "kind_of_file", "open_source"]


class Kind(NamedTuple):
    """A kind of source that can be converted.

    Attributes:
        name: What it is called, such as `a Keras 3 model`.
        opens: The module in this package and its function that opens it.
        endings: Those of its files, in lower case.
        is_object: Whether an object in memory is one; imports nothing.
        begins: What its files begin with, without spaces; a kind that says so comes before others
            with the same ending.
        again: What to do with a file that cannot be read, for errors that do not say it.
    """

    name: str
    opens: str
    endings: tuple[str, ...] = ()
    is_object: Callable[[Any], bool] = lambda _: False
    begins: bytes = b""
    again: str = ""

    def open(self, model: Any, options: SourceOptions) -> ImageSource | ArraySource:
        """Open a file or an object of this kind."""
        module, _, function = self.opens.partition(":")
        try:
            opener = getattr(importlib.import_module(f"{__package__}.{module}"), function)
        except ModuleNotFoundError as error:
            raise missing_package(error, purpose=f"converting {self.name}") from error
        try:
            source: ImageSource | ArraySource = opener(model, options)
        except ConversionError as error:
            if self.again and isinstance(model, Path) and ";" not in str(error):
                raise ConversionError(f"{error}; {self.again}") from error
            raise
        return source


def _instance_of(module: str, name: str) -> Callable[[Any], bool]:
    """A test for the class of a package; no object is one of a package that is not imported."""

    def test(model: Any) -> bool:
        kind = getattr(sys.modules.get(module), name, None)
        return kind is not None and isinstance(model, kind)

    return test


def _one_of(*classes: tuple[str, str]) -> Callable[[Any], bool]:
    """A test for one of several classes, see `_instance_of`."""
    tests = [_instance_of(*each) for each in classes]
    return lambda model: any(test(model) for test in tests)


KINDS: tuple[Kind, ...] = (
    Kind(
        "a Recognizer",
        "torch_source:open_recognizer",
        is_object=_instance_of("pocketlens.recognizer", "Recognizer"),
    ),
    Kind(
        "a KerasPredictor",
        "keras_source:open_predictor",
        is_object=_instance_of("pocketlens.conversion.from_keras", "KerasPredictor"),
    ),
    Kind(
        "a Keras 3 model",
        "keras_source:open_keras",
        (".keras",),
        _instance_of("keras", "Model"),
    ),
    Kind(
        "a model of Keras 2, TensorFlow.js or Teachable Machine",
        "keras_legacy:open_legacy",
        (".h5", ".hdf5", ".keras", "model.json", ".zip", "keras_model.h5/", "model.json/"),
        begins=b"\x89HDF",  # TensorFlow up to 2.11 wrote HDF5 into a .keras file
        again="save the model again where it was trained: model.save('model.keras')",
    ),
    Kind("a program of torch.export", "from_pt2:open_program", (".pt2",)),
    Kind("an ONNX network", "from_onnx:open_onnx", (".onnx",), again="export the network again"),
    Kind(
        "an XGBoost model",
        "classic.source:open_xgboost",
        (".ubj", ".json"),
        _one_of(("xgboost.core", "Booster"), ("xgboost.sklearn", "XGBModel")),
        begins=b'{"learner"',
        again="it is damaged; save it again with Booster.save_model('model.json')",
    ),
    Kind(
        "a LightGBM model",
        "classic.source:open_lightgbm",
        (".txt", ".lgb"),
        _one_of(("lightgbm.basic", "Booster"), ("lightgbm.sklearn", "LGBMModel")),
        again="it is damaged; save it again with Booster.save_model('model.txt')",
    ),
    Kind(
        "a scikit-learn model",
        "classic.source:open_sklearn",
        (".skops",),
        _instance_of("sklearn.base", "BaseEstimator"),
    ),
    Kind("a PyTorch module", "from_module:open_module", (), _instance_of("torch.nn", "Module")),
)


class Refused(NamedTuple):
    """A kind of file that cannot be converted.

    Attributes:
        endings: Of the file's name, in lower case; a name that ends in `/` is one in a folder.
        what: What it is.
        way: What to do.
    """

    endings: tuple[str, ...]
    what: str
    way: str


_PICKLED = re.compile(rb"\x80[\x02-\x05][(c}\]KX\x8c\x95]")
"""What a pickle begins with: its protocol, and the first of its instructions."""

_PICKLE = "which runs code from the file when it is read"

REFUSED: tuple[Refused, ...] = (
    Refused(
        (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle"),
        f"a pickle, {_PICKLE}",
        "if you trust it, load it in Python and call pocketlens.convert(model, …); or save a "
        "scikit-learn model with skops: skops.io.dump(model, 'model.skops')",
    ),
    Refused(
        (".pt", ".pth", ".bin", ".ckpt"),
        f"a file of torch.save or torch.jit.save, {_PICKLE}",
        "load the network in Python and call pocketlens.convert(network, …); or save it without a "
        "pickle: torch.export.save(torch.export.export(network.eval(), (example,)), 'model.pt2')",
    ),
    Refused(
        (".safetensors",),
        "a file of weights without the network",
        "load them into the network in Python and call pocketlens.convert(network, …)",
    ),
    Refused(
        (".pb", "saved_model.pb/", "keras_metadata.pb/"),
        "a TensorFlow SavedModel or graph",
        "in TensorFlow, save it for Keras: model.save('model.keras'); without the Keras model, "
        "convert it to ONNX: python -m tf2onnx.convert --saved-model FOLDER --output model.onnx",
    ),
    Refused(
        (".tflite", ".task"),
        "a TensorFlow Lite file",
        "convert the model that it was made from (.keras or .h5); without it, convert it to ONNX: "
        "python -m tf2onnx.convert --tflite model.tflite --output model.onnx",
    ),
    Refused(
        (".mar", ".ptl", ".pte", ".torchscript"),
        "a PyTorch file for serving or for phones",
        "export the network that it was made from: "
        "torch.export.save(torch.export.export(network.eval(), (example,)), 'model.pt2')",
    ),
    Refused(
        (".caffemodel", ".prototxt", ".params", ".pdmodel", ".pdiparams", ".mnn", ".engine"),
        "a file of a framework that Pocketlens does not read",
        "export the model to ONNX with that framework, and convert the .onnx file",
    ),
    Refused(
        (".rds", ".rda", ".rdata", ".pmml"),
        "a model of R or PMML",
        "train it again with scikit-learn, XGBoost or LightGBM, and convert that model",
    ),
)


def open_source(model: Any, options: SourceOptions | None = None) -> ImageSource | ArraySource:
    """Open a model for conversion: an image classifier, or a model from arrays to arrays.

    Args:
        model: The path of a file, or an object in memory.
        options: What is said about it.

    Raises:
        OptionError: No such kind of object, or an option that does not fit.
        ConversionError: The file cannot be converted; the message says what to do.
        MissingExtraError: A package is not installed.
    """
    options = options or SourceOptions()
    if isinstance(model, (str, Path)) or hasattr(model, "__fspath__"):
        path = Path(model)
        return kind_of_file(path).open(path, options)
    for kind in KINDS:
        if kind.is_object(model):
            return kind.open(model, options)
    raise OptionError(
        f"an object of type {type(model).__module__}.{type(model).__qualname__} cannot be "
        f"converted; expected {', '.join(kind.name for kind in KINDS)}, or the path of a file that "
        f"ends in {', '.join(_endings())}"
    )


def is_source_file(path: Path) -> bool:
    """Whether the path is that of a file, or a folder, that can be converted or is refused."""
    known = (
        *(ending for kind in KINDS for ending in kind.endings),
        *(ending for row in REFUSED for ending in row.endings),
    )
    return any(_ends(path, ending) for ending in known)


def kind_of_file(path: Path) -> Kind:
    """The kind of source that a file is, by its name.

    Raises:
        ConversionError: It does not exist, or cannot be converted; the message says what to do.
    """
    # The longest ending counts: `model.keras.json` is not a `.json`.
    rows = [(ending, kind) for kind in KINDS for ending in kind.endings if _ends(path, ending)]
    if rows:
        expected = rows[0][1].name
        if not path.exists():
            raise ConversionError(f"{path} does not exist; expected {expected}")
        if path.is_dir() and not any(ending.endswith("/") for ending, _ in rows):
            raise ConversionError(f"{path} is a folder; expected {expected}, in a file")
        if not path.is_dir() and not path.is_file():  # reading a pipe would wait forever
            raise ConversionError(f"{path} is not a regular file; expected {expected}")
        if path.is_file() and (instead := instead_of_file(first_bytes(path))) is not None:
            raise ConversionError(f"{path} {instead}")
        _refuse_pickle(path)
        begin = b"".join(first_bytes(path).split())
        sure = [kind for _, kind in rows if kind.begins and begin.startswith(kind.begins)]
        return sure[0] if sure else max(rows, key=lambda row: len(row[0]))[1]
    for row in REFUSED:
        if any(_ends(path, ending) for ending in row.endings):
            raise ConversionError(f"{path} is {row.what}; {row.way}")
    if not path.exists():
        raise ConversionError(f"{path} does not exist; expected the file of a model")
    _refuse_pickle(path)
    raise ConversionError(
        f"{path} is not a file that can be converted; expected one that ends in "
        f"{', '.join(_endings())}; or load the model in Python and call "
        "pocketlens.convert(model, …)"
    )


def _refuse_pickle(path: Path) -> None:
    """Refuse a pickle, whatever its name is."""
    if _PICKLED.match(first_bytes(path)):
        raise ConversionError(f"{path} is {REFUSED[0].what}; {REFUSED[0].way}")


def _ends(path: Path, ending: str) -> bool:
    """Whether a file has an ending; with `/`, whether a folder has that file."""
    if ending.endswith("/"):
        return path.is_dir() and (path / ending[:-1]).is_file()
    return path.name.lower().endswith(ending)


def _endings() -> list[str]:
    return sorted({each for kind in KINDS for each in kind.endings if not each.endswith("/")})
