"""Reading zip archives that may be damaged."""

from __future__ import annotations

import errno
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["opened_zip"]

_FAULTS = (
    EOFError,
    NotImplementedError,  # a compression that Python does not know
    RuntimeError,  # a password
    ValueError,  # such as a place before the beginning of the file
    OverflowError,
    zlib.error,
)


@contextmanager
def opened_zip(source: Path | IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """An archive that must fill its file.

    The end of a file that was cut short may be an archive inside of it, which must not be taken for
    it. Every fault of the archive, also of a member that is read within, is a BadZipFile.

    Raises:
        zipfile.BadZipFile: It is damaged or cut short.
        OSError: The file cannot be read.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            if members and min(each.header_offset for each in members) != 0:
                raise zipfile.BadZipFile("it is not complete, or does not begin with an archive")
            yield archive
    except RecursionError:
        raise
    except _FAULTS as error:
        raise zipfile.BadZipFile(str(error) or "it ends too early") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise zipfile.BadZipFile("a member lies outside of it") from error
