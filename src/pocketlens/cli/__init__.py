"""The command line. One file per command: parse the options, call the function, print.

`failures` lists the exit statuses.
"""

from pocketlens.cli.failures import one_line_failures

# An interrupt, or a lack of memory, may come as early as here.
with one_line_failures():
    # Importing a module registers its command; --help lists them in this order.
    from pocketlens.cli import (  # noqa: F401, I001
        run,
        recipes,
        data,
        train,
        evaluate,
        convert,
        compress,
        inspect,
        ops,
        onnx,
        predict,
        explain,
        preview,
        teach,
        verify,
        app,
        web,
        report,
        runs,
        correct,
        sweep,
    )
    from pocketlens.cli.shell import app as main

__all__ = ["main"]
