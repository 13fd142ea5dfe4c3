"""Many clients at the same few containers of a real daemon: each is answered, and nothing stays."""

from __future__ import annotations

import http.client
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.runtime.daemon_api import Api
from tests.runtime.daemon_process import Daemon, running_daemon
from tests.runtime.engine.service.containers import holdings
from tests.runtime.engine.service.containers.lifecycle_world import agree

pytestmark = pytest.mark.root

_NAMES = ["one", "two", "three", "four"]
_PROGRAMS = ["exit 3", "sleep 1000", "trap 'exit 4' TERM; while :; do sleep 0.1; done"]
_HANDS, _TURNS = 8, 150
_DEAD = 0


@pytest.fixture(scope="module")
def own() -> Iterator[Daemon]:
    with running_daemon() as daemon:
        yield daemon


class Hand:
    """One client, and what it was answered."""

    def __init__(self, daemon: Daemon, seed: int) -> None:
        self.api, self.draw = Api(daemon.socket), random.Random(seed)
        self.answers: Counter[tuple[str, int]] = Counter()
        self.broken: list[Any] = []

    def work(self, turns: int) -> None:
        for _ in range(turns):
            action = self.draw.choice(list(_ACTIONS))
            try:
                status, answer = _ACTIONS[action](self, self.draw.choice(_NAMES))
            except (OSError, http.client.HTTPException):
                status, answer = _DEAD, None
                time.sleep(0.01)
            self.answers[action, status] += 1
            if status >= 500:
                self.broken.append((action, answer))

    def create(self, name: str) -> tuple[int, Any]:
        host = {
            "AutoRemove": self.draw.random() < 0.3,
            "NetworkMode": self.draw.choice(["none", "bridge"]),
            "RestartPolicy": {"Name": ""},
        }
        if not host["AutoRemove"]:
            host["RestartPolicy"] = {"Name": self.draw.choice(["no", "no", "always"])}
        body = {
            "Image": "busybox",
            "Cmd": ["sh", "-c", self.draw.choice(_PROGRAMS)],
            "StopTimeout": 0,
            "Volumes": {"/data": {}} if self.draw.random() < 0.3 else {},
            "HostConfig": host,
        }
        return self.api("POST", f"/containers/create?name={name}", body)

    def rename(self, name: str) -> tuple[int, Any]:
        return self.api("POST", f"/containers/{name}/rename?name={self.draw.choice(_NAMES)}")

    def exec(self, name: str) -> tuple[int, Any]:
        status, made = self.api("POST", f"/containers/{name}/exec", {"Cmd": ["true"]})
        if status != 201:
            return status, made
        return self.api("POST", f"/exec/{made['Id']}/start", {"Detach": True})


def _post(action: str) -> Any:
    return lambda hand, name: hand.api("POST", f"/containers/{name}/{action}")


_ACTIONS: dict[str, Any] = {
    "create": Hand.create,
    "create again": Hand.create,
    "start": _post("start"),
    "start again": _post("start"),
    "stop": _post("stop"),
    "kill": _post("kill"),
    "pause": _post("pause"),
    "unpause": _post("unpause"),
    "restart": _post("restart"),
    "rename": Hand.rename,
    "exec": Hand.exec,
    "remove": lambda hand, name: hand.api("DELETE", f"/containers/{name}?v=1"),
    "remove by force": lambda hand, name: hand.api("DELETE", f"/containers/{name}?force=1&v=1"),
    "update": lambda hand, name: hand.api("POST", f"/containers/{name}/update", {"CpuShares": 512}),
    "inspect": lambda hand, name: hand.api("GET", f"/containers/{name}/json?size=1"),
    "list": lambda hand, name: hand.api("GET", "/containers/json?all=1&size=1"),
    "logs": lambda hand, name: hand.api.raw("GET", f"/containers/{name}/logs?stdout=1"),
    "prune": lambda hand, name: hand.api("POST", "/containers/prune"),
}


def set_to_work(daemon: Daemon, seed: int) -> tuple[list[Hand], list[threading.Thread]]:
    hands = [Hand(daemon, seed + number) for number in range(_HANDS)]
    threads = [threading.Thread(target=hand.work, args=(_TURNS,)) for hand in hands]
    for thread in threads:
        thread.start()
    return hands, threads


def assert_nothing_stays(daemon: Daemon, hands: list[Hand]) -> None:
    assert [one for hand in hands for one in hand.broken] == []
    api = Api(daemon.socket)
    for row in api("GET", "/containers/json?all=1")[1]:
        assert api("DELETE", f"/containers/{row['Id']}?force=1&v=1")[0] == 204
    agree(lambda: holdings.differences(daemon, up=0, published=0))
    assert list((daemon.root / "containers").iterdir()) == []
    api("POST", "/volumes/prune")  # of those that prune has left
    assert list((daemon.root / "volumes").iterdir()) == []


def test_many_hands_are_answered_and_nothing_stays(own: Daemon):
    hands, threads = set_to_work(own, 0)
    for thread in threads:
        thread.join()
    assert_nothing_stays(own, hands)
    done = sum((hand.answers for hand in hands), Counter[tuple[str, int]]())
    assert done["create", 201] and done["start", 204] and done["remove by force", 204]
    assert not any(status == _DEAD for _, status in done)


def test_the_daemon_may_die_under_many_hands(own: Daemon):
    hands, threads = set_to_work(own, 1000)
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.3)
        own.terminate(signal.SIGKILL)
        own.start()
    assert_nothing_stays(own, hands)


def test_a_container_is_not_made_of_an_image_that_goes_at_the_same_time(own: Daemon):
    api = Api(own.socket)
    made = api("POST", "/containers/create?name=base", {"Image": "busybox", "Cmd": ["true"]})[1]["Id"]
    outcomes: Counter[int] = Counter()
    for turn in range(40):
        image = api("POST", f"/commit?container={made}&comment={turn}")[1]["Id"]
        body = {"Image": image, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
        remover = threading.Thread(target=Api(own.socket), args=("DELETE", f"/images/{image}?force=1"))
        remover.start()
        time.sleep(random.Random(turn).random() * 0.01)
        status, answer = api("POST", "/containers/create", body)
        remover.join()
        outcomes[status] += 1
        if status == 201:
            assert api("POST", f"/containers/{answer['Id']}/start")[0] == 204
            assert api("DELETE", f"/containers/{answer['Id']}?force=1")[0] == 204
            api("DELETE", f"/images/{image}?force=1")
    assert set(outcomes) <= {201, 404}, outcomes
    assert_nothing_stays(own, [])
