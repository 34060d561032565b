"""The pages that are tables of the code: ops, the run folder, errors."""

from __future__ import annotations

from itertools import groupby

import pocketlens
from markdown_text import code, table
from pocketlens import errors as errors_module
from pocketlens.coreml.ops.registry import CHOICES
from pocketlens.run_contents import CONTENTS, MODEL_SUFFIXES

TITLES = {
    "classic": "Model types that are not graphs",
    "mil": "Ops of ML Programs",
    "neural_network": "Layers of neural networks",
}
RUNS = {
    "any": "every run",
    "augmented": "runs with an augmentation",
    "epochs": "runs that train in epochs",
    "features": "runs that train on the features of a backbone",
    "files": "runs on a folder or CSV file",
    "nothing": "runs with the class `nothing`",
    "web": "runs with `web.enabled = true`",
}


def ops() -> str:
    """What the Core ML runtime supports."""
    rows = pocketlens.ops()
    running = sum(row.supported for row in rows)
    parts = [
        "# Supported Core ML ops\n",
        "<!-- Generated from the registry of the runtime; do not edit. -->\n",
        f"{running} of {len(rows)} ops, layers and model types run here; `pocketlens ops` prints "
        "the same list. *Since* lists the versions of an ML Program op with a meaning of their "
        "own: CoreML5 came with iOS 15, CoreML6 with iOS 16, and so on. A model with something "
        "that is not supported is refused when it is loaded, with the names of all such ops. Where "
        "Apple's text leaves a meaning open, or a device is known to differ from it, "
        "[Chosen meanings](#chosen-meanings) says what we chose.\n",
    ]
    for dialect, group in groupby(rows, key=lambda row: row.dialect):
        found = list(group)
        runs = sum(row.supported for row in found)
        parts.append(f"## {TITLES[dialect]}\n\n{runs} of {len(found)} run.\n")
        versions = any(any(row.versions) for row in found)
        header = ("Op", "Runs", *(("Since",) if versions else ()), "Restrictions, or the reason")
        parts.append(
            table(
                header,
                [
                    (
                        code(row.op),
                        "yes" if row.supported else "**no**",
                        *((", ".join(f"CoreML{v}" for v in row.versions),) if versions else ()),
                        row.remark,
                    )
                    for row in found
                ],
            )
        )
    parts.append(
        "## Chosen meanings\n\nWhat a device is publicly known to do wins over the text, then what "
        "coremltools' own tests expect. `pocketlens ops --chosen` prints the same.\n"
    )
    parts.append(
        table(
            ("Ops", "Meaning here", "Why it was open", "Source"),
            [
                (
                    ", ".join(code(op) for dialect in TITLES for op in choice.ops(dialect)),
                    choice.meaning,
                    choice.reason,
                    choice.source,
                )
                for choice in CHOICES
            ],
        )
    )
    return "\n".join(parts)


def run_folder() -> str:
    """What a run folder contains."""
    rows = [
        (
            code(item.path),
            item.stage or "",
            item.meaning,
            RUNS[item.only],
            "yes" if item.needed else "no",
        )
        for item in CONTENTS
    ]
    suffixes = " or ".join(code(f"NAME{suffix}") for suffix in MODEL_SUFFIXES)
    rows.append(
        (suffixes, "convert", "the Core ML file; `model.name` names it", RUNS["any"], "yes")
    )
    return "\n".join(
        [
            "# What a run folder contains\n",
            "<!-- Generated from `pocketlens.run_contents`; do not edit. -->\n",
            "`pocketlens run` and `pocketlens train` write these files. `--force` removes them and "
            "nothing else in the folder; a website stays until the new one replaces it. Tensors "
            "are safetensors; everything else is JSON, TOML, PNG, SVG or HTML. Nothing is pickled. "
            "To read a run in Python, use "
            "`pocketlens.read_run`.\n",
            table(
                ("Path", "Stage", "Contents", "Written by", "In a finished run"),
                rows,
            ),
            "*Stage*: the stage of the run that writes it. Without one, it is written before the "
            "first stage, after every stage, or by another command.\n",
        ]
    )


def errors() -> str:
    """The tree of errors, and each error."""
    tree = (errors_module.__doc__ or "").strip()
    summary, _, rest = tree.partition("\n\n")
    drawn, _, after = rest.partition("\n\n")
    names = [name for name in errors_module.__all__ if name[0].isupper()]
    parts = [
        "# Errors\n",
        "<!-- Generated from `pocketlens.errors`; do not edit. -->\n",
        f"{summary} Catch `pocketlens.PocketlensError` for all of them; the others are in "
        "`pocketlens.errors`.\n",
        f"```text\n{drawn}\n```\n",
        f"{after}\n",
    ]
    parts += [f"::: pocketlens.errors.{name}\n" for name in names]
    return "\n".join(parts)
