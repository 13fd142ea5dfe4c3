"""The daemon under random operations: its API, its deaths, and what an operation may be."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

from tests.runtime.daemon_api import Api
from tests.runtime.daemon_process import Daemon
from tests.runtime.engine.service.containers.machine_model import Kind
from tests.waiting import eventually

PATIENCE_S = 120.0


class World:
    """One daemon for all examples, and what was done to it.

    images: those that commits made. orphans: anonymous volumes whose containers went without them.
    """

    def __init__(self, daemon: Daemon, ready: Path) -> None:
        self.daemon, self.ready = daemon, ready
        self.api = Api(daemon.socket)
        self.done: Counter[str] = Counter()
        self.images: set[str] = set()
        self.orphans: set[str] = set()
        self.names = 0
        self.failure: BaseException | None = None

    @property
    def deaths(self) -> int:
        """How often something was killed or ended."""
        return sum(count for action, count in self.done.items() if action.startswith("die"))

    def begin(self) -> None:
        """Start the daemon again."""
        self.daemon.start()

    def begin_and_die(self, after_s: float) -> None:
        """Start the daemon and kill -9 it, most often before it is ready."""
        starting = threading.Thread(target=self._begin_in_vain)
        starting.start()
        until(self._is_begun, "the daemon's process")
        time.sleep(after_s)
        os.kill(self.daemon.pid, signal.SIGKILL)
        starting.join()
        self.daemon.terminate(signal.SIGKILL)

    def _is_begun(self) -> bool:
        with contextlib.suppress(AssertionError):
            return self.daemon.pid > 0
        return False

    def _begin_in_vain(self) -> None:
        with contextlib.suppress(AssertionError):
            self.daemon.start()

    def spawner(self) -> int:
        """The spawner's process id, once there is one; it is none of a new daemon's leftovers."""
        found: list[int] = []

        def look() -> bool:
            with contextlib.suppress(ValueError):  # one that is just starting is two processes, or none
                found.append(self.daemon.spawner_pid)
            return bool(found)

        until(look, "a spawner")
        self.daemon.owners.update(found)
        return found[0]

    def kill_spawner(self) -> None:
        """kill -9 the spawner, and see it gone."""
        pid = self.spawner()
        os.kill(pid, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{pid}/root").exists(), "the spawner's end")

    def kill(self, *, spawner: bool = False) -> None:
        """kill -9 the daemon, and with `spawner` that one first."""
        if spawner:
            self.kill_spawner()
        self.daemon.terminate(signal.SIGKILL)

    def seen(self) -> str:
        """What there is to see of a failure: what the daemon said last, and its containers."""
        said = self.daemon.log.read_text("utf-8", "replace")[-4000:]
        try:
            _, rows = self.api("GET", "/containers/json?all=1")
            states = [self.api("GET", f"/containers/{row['Id']}/json")[1]["State"] for row in rows]
        except (OSError, http.client.HTTPException) as error:
            return f"{said}\n{error!r}"
        kernel = [f"{state}: {_kernel_state(state['Pid'])}" for state in states]
        return "\n".join([said, *kernel])


def _kernel_state(pid: int) -> str:
    with contextlib.suppress(OSError):
        names = ("status", "wchan", "cgroup")
        return "\n".join(Path(f"/proc/{pid}/{name}").read_text() for name in names)
    return "no process"


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    agree(lambda: [] if condition() else [what])


def agree(differences: Callable[[], list[str]]) -> None:
    """Wait until there are no differences."""
    eventually(differences, [], every_s=0.002)


@dataclasses.dataclass(frozen=True)
class Step:
    """An operation, and what it may need."""

    action: str
    number: int
    flag: bool
    kind: Kind
    policy: str
    how: str
    during: str
    delay_ms: int


ACTIONS = {
    "nothing": 1,
    "create": 3,
    "start": 2,
    "stop": 1,
    "kill": 1,
    "signal": 1,
    "freeze": 2,
    "restart": 1,
    "rename": 1,
    "update": 1,
    "remove": 1,
    "prune": 1,
    "await_end": 1,
    "exec": 1,
    "commit": 1,
    "remove_image": 1,
    "die": 2,
    "die_meanwhile": 2,
}
POLICIES = ["no", "no", "always", "unless-stopped", "on-failure"]

STEPS = st.builds(
    Step,
    action=st.sampled_from([action for action, weight in ACTIONS.items() for _ in range(weight)]),
    number=st.integers(0, 99),
    flag=st.booleans(),
    kind=st.sampled_from(["listens", "deaf", "quick"]),
    policy=st.sampled_from(POLICIES),
    how=st.sampled_from(["daemon", "daemon", "both", "spawner", "in order"]),
    during=st.sampled_from(
        ["create", "start", "stop", "kill", "pause", "unpause", "restart", "remove", "rename", "commit"]
    ),
    delay_ms=st.sampled_from([0, 1, 2, 4, 8, 16, 32]),
)
