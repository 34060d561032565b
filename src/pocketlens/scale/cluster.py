"""Start Ray on this computer, or connect to a cluster."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import Any

from pocketlens.errors import ClusterError, OptionError, printable, require
from pocketlens.files import temporary_folder

__all__ = ["LOCAL", "check_address", "connected"]

LOCAL = "local"
"""The address that stands for this computer."""

CONNECT_SECONDS = 30
"""How long a cluster may take to answer."""

ADDRESS = re.compile(r"(ray://)?(\[[0-9a-fA-F:]+\]|[\w.-]+):(\d{1,5})")

ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on every system: all sockets on 127.0.0.1
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # Pocketlens writes its own files
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "300",  # for a stopped trial to end, so its process is kept
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is raised here as everywhere
    "TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "1e9",
    "RAY_AIR_NEW_OUTPUT": "0",
}
"""Settings of Ray that it reads when it is imported or started."""

_token = secrets.token_hex(32)
"""What the processes of this computer's Ray have to know; Ray, too, keeps the first one."""

_ours = False
"""Whether Ray was imported here."""


def check_address(on: str) -> str:
    """The address, if it can be one.

    Raises:
        OptionError: It is neither `local` nor `ray://HOST:PORT` nor `HOST:PORT`.
    """
    found = ADDRESS.fullmatch(on)
    if on == LOCAL or (found and 0 < int(found[3]) < 65536):
        return on
    raise OptionError(
        f"an address must be local, ray://HOST:PORT or HOST:PORT; received: {on!r:.200}"
    )


@contextmanager
def connected(on: str = LOCAL, *, processors: int | None = None) -> Iterator[Any]:
    """Ray, started on this computer or connected to a cluster, until the end of the context.

    On this computer it listens on 127.0.0.1 only, asks for a token that only this process and its
    children know, and has no dashboard.

    Args:
        on: `local`, `ray://HOST:PORT` (a cluster's client server), or `HOST:PORT` (its head, from
            one of its machines).
        processors: How many processors to use on this computer; default: all.

    Yields:
        The module `ray`.

    Raises:
        OptionError: Not an address.
        MissingExtraError: Ray is not installed.
        ClusterError: Ray was imported before, without being started; the cluster does not answer,
            or has another version of Pocketlens.
    """
    check_address(on)
    require("ray", purpose="more than one trial or worker at a time")
    with ExitStack() as stack:
        ray = stack.enter_context(_imported(local=on == LOCAL))
        if ray.is_initialized():  # by the caller, who chose how
            yield ray
            return
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if on == LOCAL:
            # Its files belong to this user only, and are removed at the end.
            options["_temp_dir"] = str(stack.enter_context(temporary_folder(name="pl-ray")))
            stack.callback(ray.shutdown)
            ray.init(num_cpus=processors, include_dashboard=False, **options)
        else:
            stack.callback(ray.shutdown)
            _connect(ray, on, options)
        yield ray


@contextmanager
def _imported(*, local: bool) -> Iterator[Any]:
    """Ray, with its settings in the environment of this process and its children.

    Ray reads some of them only once, when it is imported.

    Raises:
        ClusterError: It was imported before, with other settings.
    """
    global _ours
    if "ray" in sys.modules and not _ours:
        import ray

        if not ray.is_initialized():
            raise ClusterError(
                "Ray was imported before with settings that open it to the network; call ray.init "
                "first, and its cluster is used, or import ray later"
            )
        yield ray
        return
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    if local:  # a cluster has a token of its own, or none
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=_token)
        # Processes find this Pocketlens, however it was put on the path.
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        import ray

        _ours = True
        yield ray
    finally:
        os.environ.clear()
        os.environ.update(before)


def _connect(ray: Any, on: str, options: dict[str, Any]) -> None:
    how = (
        f"is `ray status` fine there, and is {on} its "
        + ("client port (usually 10001)" if on.startswith("ray://") else "port (usually 6379)")
        + "? To run on this computer, leave out --on"
    )
    try:
        ray.init(address=on, **options)
    except Exception as error:  # each kind of failure has its own class
        reason = (
            printable(str(error).strip().splitlines()[0]) if str(error).strip() else "no answer"
        )
        raise ClusterError(f"the Ray cluster {on} cannot be used: {reason:.300}; {how}") from error
    here = version("pocketlens")

    def there() -> str:
        from importlib.metadata import version

        return version("pocketlens")

    try:
        found = ray.get(ray.remote(num_cpus=0)(there).remote(), timeout=CONNECT_SECONDS)
    except Exception as error:
        raise ClusterError(
            f"the machines of {on} cannot import Pocketlens; install Pocketlens {here} on each"
        ) from error
    if found != here:
        raise ClusterError(
            f"the machines of {on} have Pocketlens {found}, and this computer {here}; "
            "install the same version on all"
        )
