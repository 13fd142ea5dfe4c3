"""`nn run`: from flags to a container's config, through its life, to an exit status."""

from __future__ import annotations

import argparse
import errno
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from runtime.cli.errors import CANNOT_EXECUTE, NOT_FOUND, OUR_FAILURE, CliError
from runtime.cli.local import values
from runtime.cli.local.session import Session
from runtime.engine.config import ContainerConfig, bind
from runtime.engine.container import Container
from runtime.engine.engine import Engine
from runtime.engine.errors import EngineError
from runtime.engine.users import find_home
from runtime.image import Image
from runtime.oci.defaults import PATH
from runtime.oci.spec import Mount
from runtime.spawn.cgroups import Limits
from runtime.spawn.tape import StepError

_PERIOD_US = 100_000


def run(arguments: argparse.Namespace) -> int:
    """Run a container to its end; return its exit status. CliError when it cannot start."""
    if arguments.tty and arguments.interactive and not sys.stdin.isatty():
        raise CliError("the input device is not a TTY; leave out -t, or run nn in a terminal")
    with Engine(arguments.root) as engine:
        config = build_config(arguments, engine.images.resolve(arguments.image))
        _warn_of_network(arguments.network)
        container = engine.create(config)
        session = Session(container, interactive=arguments.interactive)
        try:
            _start(container, session)
            return session.run()
        finally:
            session.close()  # the container goes with its engine


def _start(container: Container, session: Session) -> None:
    try:
        container.start(*session.stdio())
    except EngineError as error:
        raise CliError(str(error), exit_status(error)) from error


def exit_status(error: EngineError) -> int:
    """Tell `not found` and `cannot be executed` from our own failures, as docker does."""
    cause = error.__cause__
    if not isinstance(cause, StepError) or cause.step != "execve":
        return OUR_FAILURE
    return NOT_FOUND if cause.errno in (errno.ENOENT, errno.ENOTDIR) else CANNOT_EXECUTE


def build_config(arguments: argparse.Namespace, image: Image) -> ContainerConfig:
    """Join flags and the image's own settings."""
    hostname = arguments.hostname or secrets.token_hex(6)
    user = arguments.user if arguments.user is not None else image.execution.user
    return ContainerConfig(
        image=image.reference,
        argv=tuple(arguments.arguments),
        entrypoint=(arguments.entrypoint,) if arguments.entrypoint else None,
        env=_environment(arguments, image, hostname, user),
        cwd=arguments.workdir,
        user=arguments.user,
        hostname=hostname,
        network=arguments.network,
        ports=tuple(arguments.publish),
        mounts=(*_resolver(arguments.network), *arguments.volume, *arguments.tmpfs),
        limits=build_limits(arguments),
        caps=values.kept_capabilities(arguments.cap_add, arguments.cap_drop),
        seccomp="unconfined" if "seccomp=unconfined" in arguments.security_opt else "default",
        no_new_privs=any(option.startswith("no-new-privileges") for option in arguments.security_opt),
        rlimits=tuple(arguments.ulimit),
        oom_score_adj=arguments.oom_score_adj,
        sysctl=tuple(_pair(text, "--sysctl") for text in arguments.sysctl),
        read_only=arguments.read_only,
        init=arguments.init,
        tty=arguments.tty,
    )


def build_limits(arguments: argparse.Namespace) -> Limits:
    """Turn docker's flags into limits; `--memory-swap` counts memory and swap together there."""
    swap = None
    if arguments.memory_swap is not None and arguments.memory_swap >= 0:
        if arguments.memory is None or arguments.memory_swap < arguments.memory:
            raise CliError("--memory-swap is memory and swap together; give a --memory that is not above it")
        swap = arguments.memory_swap - arguments.memory
    shares = arguments.cpu_shares
    return Limits(
        cpu_quota_us=None if arguments.cpus is None else int(arguments.cpus * _PERIOD_US),
        cpu_period_us=_PERIOD_US,
        cpu_weight=None if shares is None else min(10_000, max(1, shares * 100 // 1024)),
        cpuset_cpus=arguments.cpuset_cpus,
        cpuset_mems=arguments.cpuset_mems,
        memory_max=arguments.memory if arguments.memory != -1 else None,
        swap_max=swap,
        pids_max=arguments.pids_limit if arguments.pids_limit not in (0, -1) else None,
    )


def _environment(arguments: argparse.Namespace, image: Image, hostname: str, user: str) -> tuple[str, ...]:
    """Docker's order: what every container has, the image's, the files', the flags'; the last one holds."""
    found = {"PATH": PATH.partition("=")[2], "HOSTNAME": hostname}
    found["HOME"] = find_home(user, tuple(map(str, image.layer_dirs)))
    if arguments.tty:
        found["TERM"] = "xterm"
    given = [line for file in arguments.env_file for line in _env_file(file)]
    for text in (*(image.execution.env or ()), *given, *arguments.env):
        try:
            variable = values.environment(text, os.environ)
        except argparse.ArgumentTypeError as error:
            raise CliError(f"--env: {error}") from error
        if variable is not None:
            name, _, value = variable.partition("=")
            found[name] = value
    return tuple(f"{name}={value}" for name, value in found.items())


def _env_file(file: Path) -> Iterator[str]:
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"--env-file {file}: {error}") from error
    return (line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))


def _pair(text: str, flag: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CliError(f"{flag} {text!r}: write NAME=VALUE")
    return name, value


def _resolver(network: str) -> tuple[Mount, ...]:
    """The host's resolv.conf; where that is systemd's stub, of no use inside, the real one beside it."""
    source = Path("/etc/resolv.conf")
    real = Path("/run/systemd/resolve/resolv.conf")
    if network == "none" or not source.is_file():
        return ()
    if network != "host" and "127.0.0.53" in source.read_text(errors="replace") and real.is_file():
        source = real
    return (bind(source.resolve(), "/etc/resolv.conf", read_only=True),)


def _warn_of_network(mode: str) -> None:
    if mode in ("bridge", "nat"):
        from runtime.network import uplink_warning

        warning = uplink_warning()
        if warning:
            print(f"nn: warning: {warning}", file=sys.stderr)
