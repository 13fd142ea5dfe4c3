"""Find out whether KVM is usable, by running guest code in a killable child, not by looking at /dev/kvm.

On some nested hosts every ioctl succeeds but guest ring 0 is emulated one instruction at a time, and a stock
kernel never boots. The speed of a two-instruction loop differs by three orders of magnitude between the two.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from vm.host_abilities import find_emulator

LIMIT_NS = 50.0
"""Per iteration. Hardware takes about one nanosecond, emulated ring 0 hundreds to thousands."""

RING0 = Path(__file__).parent / "ring0.py"
PANIC = b"Unable to mount root fs"


class KvmProbe(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. ns_per_iteration: None if the loop did not finish; reason: for users."""

    usable: bool
    ns_per_iteration: float | None
    reason: str


def usable_kvm(kernel: Path | None = None, device: Path = Path("/dev/kvm"), limit_s: float = 5.0) -> KvmProbe:
    """Run the loop; with `kernel` (a vmlinuz or vmlinux) also boot it under KVM, to be certain."""
    if not device.exists():
        return KvmProbe(usable=False, ns_per_iteration=None, reason=f"there is no {device}")
    command = [sys.executable, "-I", "-S", str(RING0)]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return judge(None, f"guest code did not come back within {limit_s:g} s", None)
    if child.returncode:
        said = child.stderr.strip().splitlines()
        return judge(None, said[-1] if said else f"the probe died with status {child.returncode}", None)
    speed = float(child.stdout)
    booted = boots(kernel, "kvm") if kernel is not None and speed <= LIMIT_NS else None
    return judge(speed, "", booted)


def judge(ns: float | None, failure: str, booted: tuple[bool, str] | None) -> KvmProbe:
    """Judge a loop's speed (None: it failed with `failure`) and a boot, if one was tried."""
    if ns is None:
        return KvmProbe(usable=False, ns_per_iteration=None, reason=failure)
    if ns > LIMIT_NS:
        reason = f"guest ring 0 is emulated: {ns:.0f} ns for an iteration that takes hardware about 1 ns"
        return KvmProbe(usable=False, ns_per_iteration=ns, reason=reason)
    if booted is not None:
        return KvmProbe(usable=booted[0], ns_per_iteration=ns, reason=booted[1])
    return KvmProbe(
        usable=True, ns_per_iteration=ns, reason=f"guest ring 0 runs at native speed ({ns:.1f} ns)"
    )


def boots(kernel: Path, accel: str, limit_s: float = 20.0) -> tuple[bool, str]:
    """Boot a kernel without a root; its panic about that proves that it booted.

    Its check of the timer is off: on a busy host it fails, and the kernel panics about that instead.
    """
    command = [find_emulator(), "-accel", accel, "-machine", "q35", "-m", "256", "-nodefaults", "-no-reboot"]
    command += ["-cpu", "host" if accel == "kvm" else "max", "-display", "none", "-serial", "stdio"]
    command += ["-kernel", str(kernel), "-append", "console=ttyS0 panic=-1 no_timer_check"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit_s,
            check=False,
        )
        said = done.stdout
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
    if PANIC in said:
        return True, f"a kernel booted under {accel}"
    last = said.decode(errors="replace").strip().splitlines()
    return False, f"no kernel boots under {accel}: {last[-1][:150] if last else 'it said nothing'}"
