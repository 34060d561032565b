"""What is taken along: Core ML file, iPhone app, web page and ONNX model, each checked."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.data import Dataset
from pocketlens.data.dataset import spread
from pocketlens.data.prepared import prepare_files
from pocketlens.errors import CheckFailedError
from pocketlens.files import size_on_disk
from pocketlens.naming import names_for_data
from pocketlens.prediction import NOTHING
from pocketlens.preview.teaching.folder import Example, TaughtFolder

if TYPE_CHECKING:
    from pocketlens.recognizer import Recognizer

__all__ = ["Taken", "Written"]

CHECKED = 200
"""The most examples on which the files are compared with the recognizer."""

MAX_TITLE = 40
"""The longest title of an app, in letters."""

CLOSE = 1e-3
"""How far the probabilities of the ONNX model may be from those of the Core ML file: both are run
by the same library."""


@dataclass(frozen=True)
class Written:
    """A file or folder that was written and checked.

    Args:
        kind: `coreml`, `app`, `web` or `onnx`.
        name: Its name in the output folder.
        size: In bytes.
        checked: What was checked, in a sentence.
    """

    kind: str
    name: str
    size: int
    checked: str


class Taken:
    """Writes everything that can be taken along into a folder, one after the other.

    Args:
        recognizer: What was learned.
        folder: Its examples, for the comparison and for icons.
        out: The output folder.
        step: Called with what is done now.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        folder: TaughtFolder,
        out: Path,
        step: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.recognizer = recognizer
        self.out = out
        self.step = step
        names = [name for name in recognizer.classes if name != NOTHING]
        self.names = names_for_data(f"folder:{folder.path}", "photos", names)
        self.title = self.names["app.name"][:MAX_TITLE].strip()
        self.model = out / f"{self.names['model.name']}.mlpackage"
        self.data = _examples(recognizer, folder)

    def write(self) -> list[Written]:
        """Write and check everything.

        Raises:
            CheckFailedError: A file does not do the same as the recognizer.
            PocketlensError: Something cannot be written.
        """
        return [self._core_ml(), self._onnx(), self._app(), self._web()]

    def _core_ml(self) -> Written:
        from pocketlens.conversion import ModelMetadata, convert
        from pocketlens.coreml import load
        from pocketlens.evaluation.parity import verify

        metadata = ModelMetadata(description=self.names["model.description"])
        more = ""
        for precision in ("float16", "float32"):
            self.step("Writing the Core ML file")
            # `verify` compares it on more images than `convert` would.
            convert(
                self.recognizer,
                self.model,
                metadata=metadata,
                precision=precision,
                check=False,
                force=True,
            )
            self.step("Checking the Core ML file")
            parity = verify(self.recognizer, load(self.model), self.data)
            if parity.passed:
                return self._written(
                    "coreml",
                    self.model,
                    f"run here on {len(self.data)} examples: {100 * parity.agreement:.1f} % the "
                    f"same label as the recognizer that you tried{more}",
                )
            more = "; it is a float32 file, because float16 is too coarse for this recognizer"
        shutil.rmtree(self.model, ignore_errors=True)
        raise CheckFailedError(
            "the Core ML file does not say the same as the recognizer: "
            f"{'; '.join(str(parity).splitlines())}"
        )

    def _onnx(self) -> Written:
        import onnxruntime

        from pocketlens.coreml import export_onnx, load

        self.step("Writing the ONNX model")
        path = export_onnx(self.model, self.model.with_suffix(".onnx"), force=True)
        images = self.data.images[:8]
        expected = load(self.model).probabilities(images)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        found = [_onnx_probabilities(session, each, self.recognizer) for each in images]
        if np.abs(np.stack(found) - expected).max() > CLOSE:
            path.unlink()
            raise CheckFailedError("the ONNX model does not say the same as the Core ML file")
        return self._written(
            "onnx", path, f"run here on {len(images)} examples: the same as the Core ML file"
        )

    def _app(self) -> Written:
        from pocketlens.app import check_app, create_app

        self.step("Writing the iPhone app")
        path = self.out / "app"
        create_app(
            self.model,
            path,
            name=self.title,
            bundle_id=self.names["app.bundle_id"],
            pictures=self._pictures(),
            force=path.exists(),
        )
        _refuse("app", check_app(path))
        return self._written("app", path, "every file of the Xcode project was checked")

    def _web(self) -> Written:
        from pocketlens.web import check_site, create_web

        self.step("Writing the web page")
        path = self.out / "web"
        create_web(
            self.model,
            path,
            name=self.title,
            pictures=self._pictures(),
            force=path.exists(),
        )
        _refuse("web page", check_site(path))
        return self._written("web", path, "every file of the page was checked")

    def _pictures(self) -> list[NDArray[np.uint8]]:
        """An example of each class, for the icon."""
        known = [at for at, name in enumerate(self.data.classes) if name != NOTHING]
        labels = self.data.labels
        return [self.data.images[int((labels == at).argmax())] for at in known if at in labels]

    def _written(self, kind: str, path: Path, checked: str) -> Written:
        return Written(kind, path.name, size_on_disk(path), checked)


def _examples(recognizer: Recognizer, folder: TaughtFolder) -> Dataset:
    """Up to `CHECKED` of the examples, of all classes."""
    examples = [one for one in folder if one.label in recognizer.classes]
    labels = np.array([recognizer.classes.index(one.label) for one in examples], np.int64)
    chosen: list[Example] = examples
    if len(examples) > CHECKED:
        some = np.sort(spread(labels, CHECKED))
        chosen, labels = [examples[at] for at in some.tolist()], labels[some]
    images, errors = prepare_files([folder.file(one) for one in chosen], recognizer.input_spec)
    kept = np.array([at for at in range(len(chosen)) if at not in errors], np.int64)
    return Dataset(images[kept], labels[kept], recognizer.classes, folder.path.name)


def _onnx_probabilities(
    session: Any, image: NDArray[np.uint8], recognizer: Recognizer
) -> NDArray[np.float32]:
    """What an ONNX model says of an image `(H, W, C)`: probabilities `(K,)`."""
    pixels = image[..., ::-1] if recognizer.input_spec.color == "bgr" else image
    planes = pixels.transpose(2, 0, 1)[None].astype(np.float32)
    outputs = session.run(None, {session.get_inputs()[0].name: planes})
    found = [each for each in outputs if np.size(each) == len(recognizer.classes)]
    probabilities: NDArray[np.float32] = np.asarray(found[0], np.float32).reshape(-1)
    return probabilities


def _refuse(what: str, problems: list[str]) -> None:
    if problems:
        raise CheckFailedError(f"the {what} has {len(problems)} problem(s): {problems[0]}")
