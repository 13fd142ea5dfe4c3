"""An exec: its request, its progress, and Docker's document of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from runtime.docker_syntax.frames import STDERR, STDOUT
from runtime.engine.errors import EngineError
from runtime.engine.service.containers.to_config import environment
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import Body, Cells, console_size
from runtime.engine.service.stdio.attachment import Attachment
from runtime.engine.service.stdio.fanout import OutputFanout
from runtime.engine.spawner.protocol import Exec, Exited


class ExecRequest(Body, frozen=True, kw_only=True):
    """Body of `POST /containers/{id}/exec`."""

    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach_keys: str = ""
    tty: bool = False
    cmd: list[str] | None = None
    env: list[str] | None = None
    user: str = ""
    privileged: bool = False
    working_dir: str = ""
    console_size: list[Cells] | None = None


class ExecStartRequest(Body, frozen=True, kw_only=True):
    """Body of `POST /exec/{id}/start`. tty is not used: the exec was made with or without one."""

    detach: bool = False
    tty: bool = False
    console_size: list[Cells] | None = None


class Probed(NamedTuple):
    """How a probe ended: its exit status (-1: it took too long and was killed), output cut to a limit."""

    code: int
    output: str


class ExecEntry:
    """One exec.

    started: its start was requested; pid: it runs; code: it has ended. early: its exit, when that was
    reported before the answer to its start. size: rows and columns. ended: done with its code when all its
    output is read.
    """

    __slots__ = (
        "asked", "code", "container", "early", "ended", "fanout", "id", "keys", "pid", "size", "started",
    )  # fmt: skip

    def __init__(
        self, exec_id: str, container: str, asked: ExecRequest, fanout: OutputFanout, keys: bytes
    ) -> None:
        self.id, self.container, self.asked, self.fanout, self.keys = exec_id, container, asked, fanout, keys
        self.started = False
        self.pid = 0
        self.code: int | None = None
        self.early: Exited | None = None
        self.size = console_size(asked.console_size)
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self.started and self.code is None

    @property
    def argv(self) -> list[str]:
        """Its program and arguments."""
        return self.asked.cmd or [""]

    @property
    def command(self) -> str:
        """The same as one text, for events."""
        return " ".join(self.argv)

    def attach(self) -> Attachment:
        """Return the attachment of the client that starts it."""
        asked = self.asked
        wanted = ([STDOUT] if asked.attach_stdout else []) + ([STDERR] if asked.attach_stderr else [])
        return self.fanout.attach(stdin=asked.attach_stdin, streams=frozenset(wanted), keys=self.keys)

    def document(self) -> dict[str, Any]:
        """Return Docker's document of this exec."""
        asked, (program, *arguments) = self.asked, self.argv
        return {
            "ID": self.id,
            "Running": self.running,
            "ExitCode": self.code,
            "ProcessConfig": {
                "tty": asked.tty,
                "entrypoint": program,
                "arguments": arguments,
                "privileged": asked.privileged,
                **({"user": asked.user} if asked.user else {}),
            },
            "OpenStdin": asked.attach_stdin,
            "OpenStderr": asked.attach_stderr,
            "OpenStdout": asked.attach_stdout,
            "CanRemove": False,  # dockerd's collector sets it, of those that it is about to forget
            "ContainerID": self.container,
            "DetachKeys": asked.detach_keys,
            "Pid": self.pid,
        }

    def request(
        self, record: ContainerRecord, layers: Sequence[str], variables: Mapping[str, str] | None = None
    ) -> Exec:
        """Return the request to the spawner. Raises EngineError.

        layers: of the container, lowest first, to look up its users. variables: of linked containers.
        """
        asked = self.asked
        if asked.working_dir and not asked.working_dir.startswith("/"):
            raise EngineError("OCI runtime exec failed: exec failed: Cwd must be an absolute path: unknown")
        config = msgspec.structs.replace(
            record.config,
            user=asked.user or record.config.user,
            tty=asked.tty,
            env=[*(record.config.env or ()), *(asked.env or ())],
        )
        rows, columns = (*self.size, 0, 0)[:2]
        return Exec(
            id=self.container,
            exec_id=self.id,
            argv=tuple(asked.cmd or ()),
            env=environment(msgspec.structs.replace(record, config=config), layers, variables),
            cwd=asked.working_dir or None,
            user=asked.user or None,
            privileged=asked.privileged,
            tty=asked.tty,
            stdin=asked.attach_stdin,
            rows=rows,
            columns=columns,
        )
