"""Random operations on containers of a real daemon that is killed now and then: model and daemon must agree.

NINETYNINE_LIFECYCLE_OPERATIONS=600 makes it a long one; by default it has some dozens of operations.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_process import Daemon, running_daemon
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from machine_model import QUICK_CODE, Expected, Kind

from runtime.engine.shared import POOL_SIZE
from runtime.image import ImageStore

OPERATIONS = int(os.environ.get("NINETYNINE_LIFECYCLE_OPERATIONS", "60"))
_STEPS = 30
_PATIENCE_S = 60.0


class Api:
    """The daemon's API over its socket; a daemon that dies in between is a ConnectionError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("localhost", timeout=_PATIENCE_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(_PATIENCE_S)
        with contextlib.closing(connection):
            connection.sock.connect(str(self.path))
            data = None if body is None else json.dumps(body)
            connection.request(method, f"/v1.45{path}", data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        return answer.status, json.loads(text) if text.strip() else None


class World:
    """One daemon for all examples, and what was done to it."""

    def __init__(self, daemon: Daemon, ready: Path) -> None:
        self.daemon, self.ready = daemon, ready
        self.api = Api(daemon.socket)
        self.done: Counter[str] = Counter()
        self.names = 0
        self.failure: BaseException | None = None

    def begin(self) -> None:
        """Start the daemon again."""
        self.daemon.start()

    def kill(self, *, spawner: bool = False) -> None:
        """kill -9 the daemon, and with `spawner` that one first."""
        if spawner:
            os.kill(self.daemon.spawner_pid, signal.SIGKILL)
        self.daemon.terminate(signal.SIGKILL)


WORLD: World


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.002)


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


STEPS = st.builds(
    Step,
    action=st.sampled_from(
        [
            "nothing",
            "create",
            "create",
            "start",
            "start",
            "stop",
            "kill",
            "freeze",
            "freeze",
            "restart",
            "rename",
            "remove",
            "exec",
            "commit",
            "die",
            "die_meanwhile",
        ]
    ),
    number=st.integers(0, 99),
    flag=st.booleans(),
    kind=st.sampled_from(["listens", "deaf", "quick"]),
    policy=st.sampled_from(["no", "no", "always", "unless-stopped"]),
    how=st.sampled_from(["daemon", "daemon", "both", "spawner", "in order"]),
    during=st.sampled_from(
        ["create", "start", "stop", "kill", "pause", "unpause", "restart", "remove", "rename"]
    ),
    delay_ms=st.sampled_from([0, 1, 2, 4, 8, 16, 32]),
)


class Lifecycle(RuleBasedStateMachine):
    """The model holds by name what must be there.

    There are no preconditions: what is drawn must not depend on what a killed daemon has still done.
    """

    def __init__(self) -> None:
        super().__init__()
        self.world, self.api = WORLD, WORLD.api
        self.model: dict[str, Expected] = {}
        self.made: dict[str, str] = {}
        self.steps: list[Step] = []

    def some(self, number: int) -> Expected:
        names = sorted(self.model)
        return self.model[names[number % len(names)]]

    def new_name(self) -> str:
        self.world.names += 1
        return f"c{self.world.names}"

    # ---- doing it -------------------------------------------------------------------------------------

    def expect(self, status: int, method: str, path: str, body: Any = None) -> Any:
        found, answer = self.api(method, path, body)
        assert found == status, f"{method} {path}: {found} {answer}, not {status}; {self.model}"
        return answer

    def note(self, action: str) -> None:
        self.world.done[action] += 1

    def marker(self, one: Expected) -> Path:
        """What its program touches once its traps are set; a rename does not change its variable."""
        return self.world.ready / self.made[one.id]

    def about_to_start(self, one: Expected) -> None:
        self.marker(one).unlink(missing_ok=True)

    def await_up(self, one: Expected) -> None:
        """Wait until a started program has set its traps, or a quick one has ended."""
        if one.kind != "quick":
            until(self.marker(one).exists, f"{one} is ready")
        else:
            until(lambda: self.is_over(one), f"{one} is over")
        if one.gone:
            self.drop(one)

    def is_over(self, one: Expected) -> bool:
        status, found = self.api("GET", f"/containers/{one.id}/json")
        if status == 404:
            return True
        state = found["State"]
        return not one.auto_remove and not state["Running"] and state["ExitCode"] == QUICK_CODE

    def drop(self, one: Expected) -> None:
        until(lambda: self.api("GET", f"/containers/{one.id}/json")[0] == 404, f"{one} is gone")
        self.model.pop(one.name, None)

    # ---- operations -----------------------------------------------------------------------------------

    @rule(step=STEPS)
    def step(self, step: Step) -> None:
        """One operation. One rule for all, since hypothesis would leave rules out of whole examples."""
        if self.world.failure is None and self.world.done.total() < OPERATIONS:
            self.steps.append(step)
            with self.kept():
                self.carry_out(step)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the first failure: hypothesis would try to see it again, and tell only that it did not."""
        try:
            yield
        except BaseException as error:
            error.add_note("\n".join(map(str, self.steps)))
            self.world.failure = error
            raise

    def carry_out(self, step: Step) -> None:
        if step.action == "create":
            if len(self.model) < 6:
                policy = "no" if step.flag or step.kind == "quick" else step.policy
                self.create(step.kind, policy, step.flag, start=step.number % 3 > 0)
        elif step.action == "die":
            self.die(step.how)
        elif self.model and step.action != "nothing":
            getattr(self, step.action)(self.some(step.number), step)

    def create(self, kind: Kind, policy: str, auto_remove: bool, start: bool) -> None:
        self.note("create")
        one = Expected("", self.new_name(), kind, policy, auto_remove)
        body = one.body(str(self.world.ready))
        one.id = self.expect(201, "POST", f"/containers/create?name={one.name}", body)["Id"]
        self.made[one.id] = one.name
        self.model[one.name] = one
        self.expect(409, "POST", f"/containers/create?name={one.name}", body)
        if start:
            self.start_one(one)

    def start(self, one: Expected, step: Step) -> None:
        self.start_one(one)

    def start_one(self, one: Expected) -> None:
        self.note("start")
        path = f"/containers/{one.name}/start"
        if one.up:
            self.expect(304 if one.status == "running" else 409, "POST", path)
            return
        self.about_to_start(one)
        self.expect(204, "POST", path)
        one.start()
        self.await_up(one)

    def stop(self, one: Expected, step: Step) -> None:
        self.note("stop")
        self.expect(204 if one.up else 304, "POST", f"/containers/{one.name}/stop")
        if one.up:
            one.stop()
        if one.gone:
            self.drop(one)

    def kill(self, one: Expected, step: Step) -> None:
        self.note("kill")
        self.expect(204 if one.up else 409, "POST", f"/containers/{one.id}/kill")
        if one.up:
            one.kill()
        if one.gone:
            self.drop(one)

    def freeze(self, one: Expected, step: Step) -> None:
        action = "pause" if step.flag else "unpause"
        self.note(action)
        fits = one.status == ("running" if action == "pause" else "paused")
        self.expect(204 if fits else 409, "POST", f"/containers/{one.name}/{action}")
        if fits:
            one.status = "paused" if action == "pause" else "running"

    def restart(self, one: Expected, step: Step) -> None:
        self.note("restart")
        self.about_to_start(one)
        self.expect(204, "POST", f"/containers/{one.name}/restart")
        one.start()
        self.await_up(one)

    def rename(self, one: Expected, step: Step) -> None:
        self.note("rename")
        taken = self.some(step.number // 7)
        status = 400 if one is taken else 409
        self.expect(status, "POST", f"/containers/{one.name}/rename?name={taken.name}")
        new = self.new_name()
        self.expect(204, "POST", f"/containers/{one.name}/rename?name={new}")
        self.model[new] = self.model.pop(one.name)
        one.name = new

    def remove(self, one: Expected, step: Step) -> None:
        self.note("remove")
        refused = one.up and not step.flag
        path = f"/containers/{one.id}?force={int(step.flag)}"
        self.expect(409 if refused else 204, "DELETE", path)
        if not refused:
            self.drop(one)

    def exec(self, one: Expected, step: Step) -> None:
        self.note("exec")
        body = {"Cmd": ["sh", "-c", "exit 9"], "AttachStdout": True}
        path = f"/containers/{one.name}/exec"
        if one.status != "running":
            self.expect(409, "POST", path, body)
            return
        made = self.expect(201, "POST", path, body)["Id"]
        self.expect(200, "POST", f"/exec/{made}/start", {"Detach": True})
        until(lambda: not self.api("GET", f"/exec/{made}/json")[1]["Running"], "the exec's end")
        assert self.expect(200, "GET", f"/exec/{made}/json")["ExitCode"] == 9

    def commit(self, one: Expected, step: Step) -> None:
        self.note("commit")
        self.expect(201, "POST", f"/commit?container={one.id}&repo=machine&tag={one.name}")

    # ---- killing the daemon ---------------------------------------------------------------------------

    def die(self, how: str) -> None:
        self.note(f"die: {how}")
        for one in self.model.values():
            if not (how == "daemon" and one.up):
                self.about_to_start(one)
        before = {one.id: one.up for one in self.model.values()}
        if how == "spawner":
            os.kill(self.world.daemon.spawner_pid, signal.SIGKILL)
            self.each("lose")
            self.settle_spawner()
        elif how == "in order":
            assert self.world.daemon.terminate() == 0
            self.each("leave", "begin")
            self.world.begin()
        else:
            self.world.kill(spawner=how == "both")
            self.each(*(("lose", "begin") if how == "both" else ("begin",)))
            self.world.begin()
        for one in list(self.model.values()):
            if one.gone:
                self.drop(one)
            elif one.up and not (how == "daemon" and before[one.id]):
                self.await_up(one)
        self.check()

    def each(self, *steps: str) -> None:
        for one in self.model.values():
            for step in steps:
                if not one.gone:
                    getattr(one, step)()

    def settle_spawner(self) -> None:
        """The daemon notices by itself, and then has the states that are expected."""
        until(lambda: self.alive() and not self.differences(), "the states after the spawner's end")

    def alive(self) -> bool:
        try:
            return self.world.daemon.spawner_pid > 0
        except ValueError:
            return False

    def die_meanwhile(self, one: Expected, step: Step) -> None:
        """kill -9 in the middle of an operation: it has taken place, or it has not."""
        action = step.during
        self.note(f"die during {action}")
        new = Expected("", self.new_name(), "listens", "no", False)
        for other in self.model.values():
            if not other.up or other is one:
                self.about_to_start(other)
        others = {other.id: other.up for other in self.model.values() if other is not one}
        thread = threading.Thread(target=self.attempt, args=(action, one, new))
        thread.start()
        time.sleep(step.delay_ms / 1000)
        self.world.kill()
        thread.join()
        self.world.begin()
        self.each("begin")
        self.resolve(action, one, new)
        for other in list(self.model.values()):
            if other.id in others:
                if other.gone:
                    self.drop(other)
                elif other.up and not others[other.id]:
                    self.await_up(other)
        self.check()

    def attempt(self, action: str, one: Expected, new: Expected) -> None:
        requests = {
            "create": ("POST", f"/containers/create?name={new.name}"),
            "remove": ("DELETE", f"/containers/{one.id}?force=1"),
            "rename": ("POST", f"/containers/{one.id}/rename?name={new.name}"),
        }
        method, path = requests.get(action, ("POST", f"/containers/{one.id}/{action}"))
        body = new.body(str(self.world.ready)) if action == "create" else None
        with contextlib.suppress(OSError, http.client.HTTPException):
            self.api(method, path, body)

    def resolve(self, action: str, one: Expected, new: Expected) -> None:
        """Look which of the two it is; what may still be ending is removed, so that it is certain."""
        if action == "create":
            status, found = self.api("GET", f"/containers/{new.name}/json")
            if status == 200:
                assert found["State"]["Status"] == "created"
                self.expect(204, "DELETE", f"/containers/{new.name}")
            return
        status, found = self.api("GET", f"/containers/{one.id}/json")
        if action == "rename" and status == 200:
            assert found["Name"] in (f"/{one.name}", f"/{new.name}")
            self.model.pop(one.name)
            one.name = found["Name"].removeprefix("/")
            self.model[one.name] = one
            return
        if status == 200:
            assert found["Name"] == f"/{one.name}"
            assert found["State"]["Status"] in ("created", "running", "paused", "exited", "restarting")
            status, _ = self.api("DELETE", f"/containers/{one.id}?force=1")
            assert status in (204, 404, 409)
        self.drop(one)

    # ---- agreement ------------------------------------------------------------------------------------

    def differences(self) -> list[str]:
        """What the daemon says otherwise than the model."""
        status, rows = self.api("GET", "/containers/json?all=1")
        assert status == 200
        expected = {one.id: one for one in self.model.values() if not one.gone}
        found = [f"{row['Id']} should not be there" for row in rows if row["Id"] not in expected]
        for one in expected.values():
            status, document = self.api("GET", f"/containers/{one.id}/json")
            if status != 200:
                found.append(f"{one}: {status}")
                continue
            state = document["State"]
            if (state["Status"], document["Name"]) != (one.status, f"/{one.name}"):
                found.append(f"{one}: {state} {document['Name']}")
            elif one.status == "exited" and state["ExitCode"] != one.code:
                found.append(f"{one}: exit code {state['ExitCode']}")
            elif one.up and not Path(f"/proc/{state['Pid']}").exists():
                found.append(f"{one}: no process {state['Pid']}")
        return found

    def check(self) -> None:
        """Model, daemon and disk agree."""
        differences = self.differences()
        assert not differences, "\n".join(differences)
        directory = self.world.daemon.root / "containers"
        ids = {one.id for one in self.model.values()}
        until(lambda: {path.name for path in directory.iterdir()} == ids, "directories of containers only")
        up = sum(one.up for one in self.model.values())
        until(lambda: busy_and_idle(self.world.daemon, up), f"{up} cgroups with processes, and few without")

    def teardown(self) -> None:
        """Remove all; nothing of them may stay."""
        if self.world.failure is None:
            with self.kept():
                self.remove_all()

    def remove_all(self) -> None:
        for one in list(self.model.values()):
            self.expect(204, "DELETE", f"/containers/{one.id}?force=1")
            self.drop(one)
        self.check()


def busy_and_idle(daemon: Daemon, up: int) -> bool:
    """Say whether so many of the spawner's cgroups have processes, and no more are empty than it keeps."""
    groups: dict[str, bool] = {}
    for path in _groups(daemon.spawner_pid):
        with contextlib.suppress(OSError):
            has_processes = bool((path / "cgroup.procs").read_text())
            groups[path.name] = groups.get(path.name, False) or has_processes
    busy = sum(groups.values())
    return busy == up and len(groups) - busy <= POOL_SIZE


def _groups(pid: int) -> Iterator[Path]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        target, kind = line.split()[4], line.rpartition(" - ")[2].split()[0]
        if kind in ("cgroup", "cgroup2"):
            yield from Path(target).glob(f"nn-{pid}-*/*/")


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_model_and_daemon_agree_however_often_it_dies(capsys: pytest.CaptureFixture[str]):
    global WORLD
    with running_daemon(checked=False) as daemon, tempfile.TemporaryDirectory() as ready:
        WORLD = World(daemon, Path(ready))
        began = time.monotonic()
        with contextlib.suppress(Exception):
            run_state_machine_as_test(
                Lifecycle,
                settings=settings(
                    max_examples=3 + 2 * OPERATIONS // _STEPS,  # the first does nothing, others are short
                    stateful_step_count=_STEPS,
                    deadline=None,
                    database=None,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                    print_blob=False,
                ),
            )
        if WORLD.failure is not None:
            raise WORLD.failure
        done = WORLD.done
        deaths = sum(count for action, count in done.items() if action.startswith("die"))
        with capsys.disabled():
            took = time.monotonic() - began
            print(f"\n{done.total()} operations, {deaths} deaths, {took:.0f} s: {dict(sorted(done.items()))}")
        store = ImageStore(daemon.root / "images")
        for image in store.list():
            store.verify(image.reference)
