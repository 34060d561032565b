"""The command line: one command a file, thin: parse, call the function, print.

Exit status: 0 fine, 1 a check failed, 2 bad input, 130 interrupted.
"""

# Importing a command registers it; this is the order of --help.
from pocketlens.cli import (  # noqa: F401, I001
    run,
    recipes,
    data,
    train,
    evaluate,
    convert,
    inspect,
    ops,
    onnx,
    predict,
    preview,
    verify,
    app,
    report,
    correct,
)
from pocketlens.cli.shell import app as main

__all__ = ["main"]
