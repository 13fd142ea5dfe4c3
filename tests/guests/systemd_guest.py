"""What the tests ask of the guest."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.waiting import at_last, eventually
from vm import Vm

ENVIRONMENT = {
    "PATH": "/ninetynine/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DOCKER_HOST": "unix:///run/ninetynine/nnd.sock",
}
BUSYBOX = "/var/tmp/busybox.tar"
MAKE_BUSYBOX = f"""
d=$(mktemp -d) && chmod 755 $d && mkdir -p $d/bin $d/www && cp /bin/busybox $d/bin/ &&
chroot $d /bin/busybox --install -s /bin && echo served > $d/www/index.html &&
tar -C $d -cf {BUSYBOX} . && rm -r $d
"""
CENSUS = {
    "control groups": "find /sys/fs/cgroup -mindepth 1 -type d",
    "links": "ls /sys/class/net",
    "nftables": "nft list ruleset",
    "mounts": "findmnt -rno TARGET,FSTYPE | sort",
    "settings": r"sysctl -a -r '^(net|kernel\.(pid|yama|apparmor)|vm)\.' 2>/dev/null",
    "files in /run": "find /run -xdev",
    "processes": "ps -eo args",
}
UNSTEADY = re.compile(
    r"conntrack|net\.netfilter|/run/(systemd|udev|user|log)|neigh|fib_|^\(|\[.*\]|ps -eo|sh -c|systemd"
    r"|^/run/ninetynine(/(settings|subnets)\.lock)?$"
)
"""What changes by itself, or by the modules that are loaded with the first use; and the empty files by whose
locks our daemons take turns, which stay, as another may wait for one just then."""

PATIENCE_S = 300.0
"""What takes longer hangs, also on a busy host that emulates."""


class Guest:
    """The guest, by its shell."""

    def __init__(self, vm: Vm) -> None:
        self.vm = vm

    def run(self, script: str, timeout_s: float = PATIENCE_S) -> tuple[int, str]:
        """Exit status and all output of a shell script in the project's directory."""
        argv = ["sh", "-c", f"exec 2>&1; {script}"]
        done = self.vm.exec(argv, env=ENVIRONMENT, cwd="/ninetynine", timeout_s=timeout_s)
        return done.exit_code, done.stdout.decode(errors="replace")

    def sh(self, script: str, timeout_s: float = PATIENCE_S) -> str:
        """Output of a script that has to succeed, without the last line's end."""
        status, said = self.run(script, timeout_s)
        assert status == 0, f"{script}: exit status {status}\n{said}"
        return said.rstrip("\n")

    def census(self) -> dict[str, set[str]]:
        """All that a program could leave behind."""
        return {
            kind: {line for line in self.sh(command).splitlines() if not UNSTEADY.search(line)}
            for kind, command in CENSUS.items()
        }

    def changed_since(self, before: dict[str, set[str]]) -> dict[str, set[str]]:
        """What has come or gone since a census, once nothing has, or after a while."""

        def changed() -> dict[str, set[str]]:
            now = self.census()
            return {kind: lines ^ before[kind] for kind, lines in now.items() if lines != before[kind]}

        found: dict[str, set[str]] = at_last(changed, {}, every_s=1)
        return found


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, which a shell in the guest looks at."""
    eventually(condition, patience_s=PATIENCE_S, every_s=0.5)
