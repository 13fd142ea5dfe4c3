"""The operations of the random lifecycle, done to the daemon and to the model, whose answers must agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.runtime.engine.service.containers.lifecycle_world import Step, World, until
from tests.runtime.engine.service.containers.machine_model import QUICK_CODE, Expected, Kind


class Operations:
    """What is there by the model, by name, and what can be done to it."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world, self.api = world, world.api
        self.model: dict[str, Expected] = {}
        self.made: dict[str, str] = {}

    def some(self, number: int) -> Expected:
        """One of them."""
        names = sorted(self.model)
        return self.model[names[number % len(names)]]

    def new_name(self) -> str:
        """A name that none had."""
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

    def create(self, kind: Kind, policy: str, auto_remove: bool, number: int) -> None:
        self.note("create")
        one = Expected("", self.new_name(), kind, policy, auto_remove, linked=number % 2 == 0)
        body = one.body(str(self.world.ready))
        one.id = self.expect(201, "POST", f"/containers/create?name={one.name}", body)["Id"]
        self.made[one.id] = one.name
        self.model[one.name] = one
        self.expect(409, "POST", f"/containers/create?name={one.name}", body)
        mounts = self.expect(200, "GET", f"/containers/{one.id}/json")["Mounts"]
        one.volume = next((mount["Name"] for mount in mounts if mount["Type"] == "volume"), "")
        assert bool(one.volume) == one.linked
        if number % 3:
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

    def signal(self, one: Expected, step: Step) -> None:
        """A signal that the first process of a pid namespace does not hear, unless it has a handler."""
        if one.policy == "on-failure":
            return  # what then becomes of it hangs on whether a daemon saw the spawner's end before its own
        self.note("signal")
        name = "10" if step.flag else "SIGUSR1"
        self.expect(204 if one.up else 409, "POST", f"/containers/{one.name}/kill?signal={name}")
        if one.up:
            one.signal()

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

    def update(self, one: Expected, step: Step) -> None:
        if one.kind != "quick" and not one.stays_down:
            self.note("update")
            body = {"RestartPolicy": {"Name": step.policy}}
            self.expect(400 if one.auto_remove else 200, "POST", f"/containers/{one.id}/update", body)
            one.policy = "no" if one.auto_remove else step.policy

    def remove(self, one: Expected, step: Step) -> None:
        self.note("remove")
        refused = one.up and not step.flag
        with_volumes = step.number // 3 % 2
        path = f"/containers/{one.id}?force={int(step.flag)}&v={with_volumes}"
        self.expect(409 if refused else 204, "DELETE", path)
        if not refused:
            self.drop(one)
            if one.volume and not (with_volumes or one.auto_remove):
                self.world.orphans.add(one.volume)

    def prune(self, one: Expected, step: Step) -> None:
        """Of containers and of anonymous volumes."""
        self.note("prune")
        idle = {one.id: one for one in self.model.values() if not one.up}
        answer = self.expect(200, "POST", "/containers/prune")
        assert set(answer["ContainersDeleted"] or ()) == idle.keys()
        for other in idle.values():
            self.drop(other)
            if other.volume and not other.auto_remove:
                self.world.orphans.add(other.volume)
        answer = self.expect(200, "POST", "/volumes/prune")
        assert set(answer["VolumesDeleted"] or ()) == self.world.orphans
        self.world.orphans.clear()

    def await_end(self, one: Expected, step: Step) -> None:
        if not one.up:
            self.note("wait")
            assert self.expect(200, "POST", f"/containers/{one.id}/wait")["StatusCode"] == one.code

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
        self.world.images.add(f"machine:{one.name}")

    def remove_image(self, one: Expected, step: Step) -> None:
        self.note("remove image")
        self.expect(409, "DELETE", "/images/busybox")
        for name in sorted(self.world.images)[:1]:
            self.expect(200, "DELETE", f"/images/{name}")
            self.world.images.remove(name)
