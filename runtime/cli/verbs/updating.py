"""`nn update`: limits of containers that are there."""

from __future__ import annotations

import sys

from runtime.cli.connection.http import quote
from runtime.cli.errors import CliError
from runtime.cli.flags import flag_values
from runtime.cli.flags.parser import Verb
from runtime.cli.verbs import batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.cli.connection.client import Client
    from runtime.cli.flags.parser import Flag, Options

_NUMBERS = {
    "blkio-weight": "BlkioWeight",
    "cpu-period": "CpuPeriod",
    "cpu-quota": "CpuQuota",
    "cpu-rt-period": "CpuRealtimePeriod",
    "cpu-rt-runtime": "CpuRealtimeRuntime",
    "cpu-shares": "CpuShares",
    "pids-limit": "PidsLimit",
}
_SIZES = {"memory": "Memory", "memory-reservation": "MemoryReservation", "memory-swap": "MemorySwap"}
_TEXTS = {"cpuset-cpus": "CpusetCpus", "cpuset-mems": "CpusetMems"}


def body(options: Options) -> dict[str, Any]:
    """Flags → the body of `POST /containers/ID/update`; only what was given."""
    found: dict[str, Any] = {
        name: options.number(key) for key, name in _NUMBERS.items() if options.given(key)
    }
    found |= {name: options.text(key) for key, name in _TEXTS.items() if options.given(key)}
    for key, name in _SIZES.items():
        if options.given(key):
            found[name] = flag_values.size("--" + key, options.text(key))
    if options.given("cpus"):
        found["NanoCpus"] = flag_values.cores("--cpus", options.text("cpus"))
    if options.given("restart"):
        found["RestartPolicy"] = flag_values.restart_policy(options.text("restart"))
    return found


def update(client: Client, options: Options) -> int:
    """Change limits of containers."""
    asked = body(options)
    if not asked:
        raise CliError("nothing to change: give at least one flag\nsee 'nn update --help'", 1)

    def act(name: str) -> None:
        answer = client.post(f"/containers/{quote(name)}/update", body=asked) or {}
        for warning in answer.get("Warnings") or ():
            print(f"WARNING: {warning}", file=sys.stderr)

    return batch.of(options.words, act)


def _flags() -> tuple[Flag, ...]:
    """The flags of `create` that can be changed later."""
    from runtime.cli.flags.run_flags import CREATE

    wanted = {*_NUMBERS, *_SIZES, *_TEXTS, "cpus", "restart"}
    return tuple(flag for flag in CREATE if flag[0] in wanted)


UPDATE = Verb(
    update, "CONTAINER...", _flags(), least=1, most=-1, example="nn update --memory 512m --restart always web"
)
