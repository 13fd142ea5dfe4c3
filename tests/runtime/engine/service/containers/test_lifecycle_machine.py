"""Random operations on containers of a real daemon that is killed now and then: model and daemon must agree.

By default some dozens of operations; five hundred of them, another five hundred with each seed:

NINETYNINE_LIFECYCLE_OPERATIONS=500 pytest --hypothesis-seed=1 FILE
"""

from __future__ import annotations

import contextlib
import http.client
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from runtime.image.store.image_store import ImageStore
from tests.runtime.daemon_process import running_daemon
from tests.runtime.engine.service.containers import holdings
from tests.runtime.engine.service.containers.lifecycle_operations import Operations
from tests.runtime.engine.service.containers.lifecycle_world import STEPS, Step, World, agree, until
from tests.runtime.engine.service.containers.machine_model import LINE, Expected

OPERATIONS = int(os.environ.get("NINETYNINE_LIFECYCLE_OPERATIONS", "60"))
_STEPS = 30
_MOST_CONTAINERS = 6

WORLD: World


class Lifecycle(Operations, RuleBasedStateMachine):
    """The model holds by name what must be there.

    There are no preconditions: what is drawn must not depend on what a killed daemon has still done.
    """

    def __init__(self) -> None:
        super().__init__(WORLD)
        self.steps: list[Step] = []

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
            error.add_note(self.world.seen())
            self.world.failure = error
            raise

    def carry_out(self, step: Step) -> None:
        if step.action == "create":
            if len(self.model) < _MOST_CONTAINERS:
                policy = "no" if step.flag or step.kind == "quick" else step.policy
                self.create(step.kind, policy, step.flag, step.number)
        elif step.action == "die":
            self.die(step.how, again_after_s=0 if step.number % 3 else step.delay_ms / 100)
        elif self.model and step.action != "nothing":
            getattr(self, step.action)(self.some(step.number), step)

    # ---- killing the daemon ---------------------------------------------------------------------------

    def die(self, how: str, again_after_s: float) -> None:
        """Kill one of the two or both, or end them in order; again_after_s: and kill the next daemon, too."""
        self.note(f"die: {how}")
        agree(self.missing_lines)
        for one in self.model.values():
            if not (how == "daemon" and one.up):
                self.about_to_start(one)
        before = {one.id: one.up for one in self.model.values()}
        if how == "spawner":
            self.world.kill_spawner()
            self.each("lose")
            self.world.spawner()
            agree(self.differences)  # the daemon notices by itself
        elif how == "in order":
            assert self.world.daemon.terminate() == 0
            self.each("leave", "begin")
            self.world.begin()
        else:
            self.world.kill(spawner=how == "both")
            self.each(*(("lose", "begin") if how == "both" else ("begin",)))
            if again_after_s:
                self.world.begin_and_die(again_after_s)
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

    def die_meanwhile(self, one: Expected, step: Step) -> None:
        """kill -9 in the middle of an operation: it has taken place, or it has not."""
        action = step.during
        self.note(f"die during {action}")
        agree(self.missing_lines)
        new = Expected("", self.new_name(), "listens", "no", auto_remove=False, linked=step.flag)
        touched = None if action == "create" else one
        for other in self.model.values():
            if not other.up or other is touched:
                self.about_to_start(other)
        others = {other.id: other.up for other in self.model.values() if other is not touched}
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
            "remove": ("DELETE", f"/containers/{one.id}?force=1&v=1"),
            "rename": ("POST", f"/containers/{one.id}/rename?name={new.name}"),
            "commit": ("POST", f"/commit?container={one.id}&repo=machine&tag={new.name}"),
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
                self.expect(204, "DELETE", f"/containers/{new.name}?v=1")
            return
        if action == "commit" and self.api("GET", f"/images/machine:{new.name}/json")[0] == 200:
            self.world.images.add(f"machine:{new.name}")
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
            status, answer = self.api("DELETE", f"/containers/{one.id}?force=1&v=1")
            assert status == 204 or (one.auto_remove and status in (404, 409)), (found["State"], answer)
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

    def missing_lines(self) -> list[str]:
        """What logs have beside one line a start."""
        found = []
        for one in self.model.values():
            status, log = self.api.raw("GET", f"/containers/{one.id}/logs?stdout=1&stderr=1")
            if status != 200 or log.count(LINE) != one.starts or len(log) != one.starts * (8 + len(LINE)):
                found.append(f"log of {one}: {status} {log!r}")
        return found

    def check(self) -> None:
        """Model, daemon, disk and host agree."""
        differences = self.differences()
        assert not differences, "\n".join(differences)
        agree(self.missing_lines)
        self.world.spawner()
        agree(self.strays)

    def strays(self) -> list[str]:
        """What is on the disk or on the host without a container, or missing for one."""
        containers, root = self.model.values(), self.world.daemon.root
        expected = {
            "containers": {one.id for one in containers},
            "volumes": {one.volume for one in containers if one.volume} | self.world.orphans,
            "images/tmp": set(),
        }
        found = []
        for name, paths in expected.items():
            there = {path.name for path in (root / name).iterdir()}
            if there != paths:
                found.append(f"{name}: {sorted(there ^ paths)} too many or missing")
        up = [one for one in containers if one.up]
        published = sum(one.linked for one in up)
        return found + holdings.differences(self.world.daemon, len(up), published)

    def teardown(self) -> None:
        """Remove all; nothing of them may stay, and no image may have changed."""
        if self.world.failure is None:
            with self.kept():
                self.remove_all()

    def remove_all(self) -> None:
        for one in list(self.model.values()):
            self.expect(204, "DELETE", f"/containers/{one.id}?force=1&v=1")
            self.drop(one)
        self.check()
        until(lambda: not holdings.descriptors_of_containers(self.world.daemon), "few open files")
        store = ImageStore(self.world.daemon.root / "images")
        names = {name for image in store.list() for name in (image.reference, *image.names)}
        assert self.world.images | {"busybox:latest"} <= names
        for name in names:
            store.verify(name)


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
                    max_examples=3 + 4 * OPERATIONS // _STEPS,  # the first does nothing, others are short
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
        with capsys.disabled():
            took, done = time.monotonic() - began, WORLD.done
            print(f"\n{done.total()} operations, {WORLD.deaths} deaths, {took:.0f} s:", *sorted(done.items()))
