"""The command line. One file per command: parse the options, call the function, print.

Exit status: 0 success, 1 a check failed, 2 bad input, 130 interrupted.
"""

# Importing a module registers its command; --help lists them in this order.
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
