"""AppArmor: the containers' profile, where the kernel enforces profiles, and how a program enters one."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

from runtime.spawn.linux import AT_FDCWD, O_CLOEXEC, O_WRONLY
from runtime.spawn.tape import Result, Tape

NAME = "nn-default"
_ENABLED = Path("/sys/module/apparmor/parameters/enabled")
_KERNELS = Path("/sys/kernel/security/apparmor")
_PARSER = "apparmor_parser"

PROFILE = """
profile NAME flags=(attach_disconnected, mediate_deleted) {
  file,
  network,
  capability,
  umount,
  deny mount,

  # Signals and ptrace only among themselves, and signals from unconfined processes (the daemon).
  signal (receive) peer=unconfined,
  signal (send, receive) peer=NAME,
  ptrace (read, trace, readby, tracedby) peer=NAME,

  # In /proc, write only to the processes' directories and to the settings of System V shared memory.
  deny /proc/* w,
  deny /proc/[^1-9s]*/** w,
  deny /proc/s[^ey]*/** w,
  deny /proc/sys/[^k]** w,
  deny /proc/sys/k[^e]** w,
  deny /proc/sys/kernel/[^s]** w,
  deny /proc/sys/kernel/s[^h]** w,
  deny /proc/sys/kernel/sh[^m]** w,
  deny /proc/{sysrq-trigger,kcore,kmem,mem} rwklx,

  # In /sys, write only to the cgroup.
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/{firmware,kernel/security,devices/virtual/powercap}/** rwklx,
}
"""


class AppArmorError(OSError):
    """The profile could not be loaded; the message says why."""


@functools.cache
def is_on() -> bool:
    """Return whether the kernel enforces profiles and apparmor_parser is installed."""
    try:
        enforced = _ENABLED.read_text().startswith("Y") and _KERNELS.is_dir()
    except OSError:
        return False
    return enforced and shutil.which(_PARSER) is not None


def load(name: str = NAME) -> None:
    """Load the containers' profile into the kernel, unless it is loaded.

    It stays loaded, as dockerd's does: containers of other daemons may use it. Raises AppArmorError.
    """
    if f"{name} (enforce)" in (_KERNELS / "profiles").read_text().splitlines():
        return
    text = PROFILE.replace("NAME", name).encode()
    done = subprocess.run(
        [_PARSER, "--replace", "--skip-cache", "--quiet"], input=text, capture_output=True, check=False
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise AppArmorError(f"load AppArmor profile {name}: {said}; does {_PARSER} fit the kernel?")


def add_open(tape: Tape) -> Result:
    """Append an open of the file that sets a program's profile, in the host's /proc.

    An exec that opened it in the container's /proc might find something else mounted there (CVE-2019-16884).
    """
    path = "/proc/self/attr/apparmor/exec"
    return tape.add("open own AppArmor attribute", "openat", AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0)


def add_enter(tape: Tape, attribute: Result, name: str) -> None:
    """Append that the next execve enters the profile `name`; ENOENT if it is not loaded."""
    text = f"exec {name}".encode()
    tape.add(f"enter AppArmor profile {name}", "write", attribute, text, len(text))
