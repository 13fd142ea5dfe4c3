"""The processes of a container, as the host's `ps` shows them."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Collection
from typing import TYPE_CHECKING

from runtime.engine.errors import BadParameterError, ConflictError, EngineError, UnavailableError
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import Body

if TYPE_CHECKING:
    from runtime.engine.service.service import Service


class Top(Body, frozen=True, kw_only=True):
    """A table of processes; a row has as many fields as there are titles."""

    titles: list[str]
    processes: list[list[str]]


async def top(service: Service, ref: str, ps_args: str = "") -> Top:
    """List the processes with `ps` and these arguments (`-ef`), pids being the host's.

    ConflictError when it does not run; BadParameterError for arguments without a column of pids.
    """
    record = service.containers.get(ref)
    _require_running(record)
    arguments = _arguments(ps_args)
    pids = await service.spawner.pids(record.id)
    chosen = "-q" + ",".join(map(str, pids))
    status, output, _ = await _ps(*arguments, chosen)
    if status:  # some arguments (f) do not go with a choice of pids
        status, output, complaint = await _ps(*arguments)
        if status:
            raise BadParameterError(f"ps: {complaint.partition(chr(10))[0] or f'it ended with {status}'}")
    table = parse(output, pids)
    service.containers.publish(record, "top")
    return table


def parse(output: str, pids: Collection[int]) -> Top:
    """Return the rows of what `ps` printed that belong to `pids`. BadParameterError without a column PID."""
    head, *lines = output.split("\n")
    titles = head.split()
    if "PID" not in titles:
        raise BadParameterError("Couldn't find PID field in ps output")
    column, rows, inside = titles.index("PID"), [], False
    for line in lines:
        fields = line.split()
        if len(fields) <= column:
            continue
        if fields[column] != "-":  # a thread, of the process in the row above
            inside = _number(fields[column]) in pids
        if inside:
            last = len(titles) - 1
            rows.append([*fields[:last], " ".join(fields[last:])])
    return Top(titles=titles, processes=rows)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadParameterError(f"Unexpected pid '{text}': leave the column PID of ps as it is") from None


def _arguments(ps_args: str) -> list[str]:
    """Split the arguments. A column named PID that holds something else would show others' processes."""
    for name, value in re.findall(r"\s+([^\s]*)=\s*(PID[^\s]*)", ps_args):
        if name != "pid":
            raise BadParameterError(f'specifying "{name}={value}" is not allowed')
    return ps_args.split() or ["-ef"]


def _require_running(record: ContainerRecord) -> None:
    if record.state.status == "restarting":
        raise ConflictError(f"Container {record.id} is restarting, wait until the container is running")
    if not record.state.running:
        raise ConflictError(f"container {record.id} is not running")


async def _ps(*arguments: str) -> tuple[int, str, str]:
    pipe = asyncio.subprocess.PIPE
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    try:
        process = await asyncio.create_subprocess_exec(
            "ps", *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=environment
        )
    except FileNotFoundError as error:
        raise UnavailableError("list processes: the host has no ps; install procps") from error
    except (OSError, ValueError) as error:
        raise EngineError(f"list processes: {error}") from error
    output, complaint = await process.communicate()
    return process.returncode or 0, output.decode("utf-8", "replace"), complaint.decode("utf-8", "replace")
