"""What the model of the lifecycle knows of one container, and what each operation makes of it."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

Kind = Literal["listens", "deaf", "quick"]
Status = Literal["created", "running", "paused", "exited"]

QUICK_CODE, TERM_CODE, KILL_CODE = 5, 7, 137
LINE = b"up\n"
_READY = 'echo up; touch "/ready/$NAME"'
PROGRAMS: dict[Kind, str] = {
    "listens": f"trap 'exit {TERM_CODE}' TERM; {_READY}; while :; do sleep 3600 & wait; done",
    "deaf": f"trap '' TERM; {_READY}; while :; do sleep 3600; done",
    "quick": f"echo up; exit {QUICK_CODE}",
}


@dataclasses.dataclass
class Expected:
    """One container. by_hand: somebody ended or signalled it, so `unless-stopped` leaves it alone.

    stays_down: this daemon will not start it again when it ends, since somebody signalled it.
    linked: it has a network, a published port and an anonymous volume. starts: how often it has said LINE.
    """

    id: str
    name: str
    kind: Kind
    policy: str
    auto_remove: bool
    linked: bool = False
    volume: str = ""
    starts: int = 0
    status: Status = "created"
    code: int = 0
    started: bool = False
    by_hand: bool = False
    stays_down: bool = False
    gone: bool = False

    @property
    def up(self) -> bool:
        """Whether it has processes."""
        return self.status in ("running", "paused")

    def start(self) -> None:
        """It was started, and the quick ones have ended."""
        self.status, self.code, self.started, self.by_hand = "running", 0, True, False
        self.stays_down = False
        self.starts += 1
        if self.kind == "quick":
            self.end(QUICK_CODE)

    def end(self, code: int) -> None:
        """It has ended."""
        self.status, self.code, self.gone = "exited", code, self.auto_remove

    def stop(self) -> None:
        """Somebody stopped it."""
        self.end(TERM_CODE if self.kind == "listens" else KILL_CODE)
        self.by_hand = True

    def signal(self) -> None:
        """Somebody sent it a signal that it does not mind."""
        self.status, self.by_hand, self.stays_down = "running", True, True

    def kill(self) -> None:
        """Somebody killed it."""
        self.end(KILL_CODE)
        self.by_hand = True

    def begin(self) -> None:
        """A daemon begins: its policy may start it; what was to go with its end goes."""
        self.stays_down = False
        if self.up:
            return
        if self.auto_remove:
            self.gone = True
        elif self.started and (self.policy == "always" or (self.is_stubborn() and not self.by_hand)):
            self.start()

    def is_stubborn(self) -> bool:
        """Whether its policy starts it again after its last end, unless it was somebody's doing."""
        return self.policy == "unless-stopped" or (self.policy == "on-failure" and self.code != 0)

    def lose(self) -> None:
        """The spawner was killed, and all that ran with it; policies start again."""
        if self.up:
            self.end(KILL_CODE)
            signalled = self.stays_down or (self.by_hand and self.policy == "unless-stopped")
            if not self.gone and self.policy != "no" and not signalled:
                self.start()

    def leave(self) -> None:
        """The daemon ends in order: it stops what runs, which is not by somebody's hand."""
        if self.up:
            self.end(TERM_CODE if self.kind == "listens" else KILL_CODE)
            self.by_hand = False

    def body(self, ready: str) -> dict[str, Any]:
        """The body of the request that creates it."""
        host: dict[str, Any] = {
            "AutoRemove": self.auto_remove,
            "Binds": [f"{ready}:/ready"],
            "RestartPolicy": {"Name": self.policy},
            "NetworkMode": "bridge" if self.linked else "none",
        }
        if self.linked:
            host["PortBindings"] = {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": ""}]}
        return {
            "Image": "busybox",
            "Cmd": ["sh", "-c", PROGRAMS[self.kind]],
            "Env": [f"NAME={self.name}"],
            "StopTimeout": 0 if self.kind == "deaf" else 60,
            "Volumes": {"/data": {}} if self.linked else {},
            "HostConfig": host,
        }
