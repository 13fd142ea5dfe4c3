from __future__ import annotations

import re

import msgspec
import pytest

from runtime.oci import defaults
from runtime.oci.exec_plan import ExecShape, make_exec_plan
from runtime.oci.plan import PlanError, Shape, make_plan, namespaces_of
from runtime.oci.program import ProgramShape
from runtime.oci.spec import Capabilities, Linux, Mount, Process, Root, Spec
from runtime.spawn.linux import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID

CAPS = Capabilities(bounding=("CAP_CHOWN",), effective=("CAP_CHOWN",), permitted=("CAP_CHOWN",))


def spec(**linux: object) -> Spec:
    linux.setdefault("namespaces", namespaces_of(defaults.NAMESPACES))
    return Spec(process=Process(capabilities=CAPS), mounts=defaults.MOUNTS, linux=Linux(**linux))


def steps(plan_spec: Spec, **shape: object) -> list[str]:
    return make_plan(Shape(spec=plan_spec, **shape)).tape.steps


def before(found: list[str], *wanted: str) -> bool:
    places = [next(i for i, step in enumerate(found) if step.startswith(name)) for name in wanted]
    return places == sorted(places)


def test_equal_shapes_share_one_tape():
    assert make_plan(Shape(spec=spec())) is make_plan(Shape(spec=spec()))


def test_rights_go_in_an_order_in_which_each_is_still_there():
    found = steps(spec(masked_paths=defaults.MASKED), joins=2)
    assert before(found, "join cgroup 1", "new cgroup namespace", "enter the anchor", "mount proc", "mask /")
    assert before(found, "close other", "drop SYS_ADMIN", "set uid 0", "set capabilities", "execve")


@pytest.mark.parametrize(
    ("no_new_privileges", "order"),
    [
        (False, ("load seccomp", "set capabilities")),
        (True, ("set capabilities", "no_new_privs", "load seccomp")),
    ],
)
def test_the_filter_is_loaded_while_it_may_be_and_as_late_as_it_can(no_new_privileges, order):
    from runtime.spawn.seccomp import Filter

    run = msgspec.structs.replace(spec().process, no_new_privileges=no_new_privileges)
    found = steps(msgspec.structs.replace(spec(), process=run), program=ProgramShape(filter=Filter(bytes(8))))
    assert before(found, *order, "execve")


def test_a_profile_is_entered_through_the_hosts_proc_and_before_the_filter():
    from runtime.spawn.seccomp import Filter

    run = msgspec.structs.replace(spec().process, apparmor_profile="one")
    program = ProgramShape(filter=Filter(bytes(8)))
    order = ("open own AppArmor", "new session", "enter AppArmor profile one", "load seccomp", "execve")
    assert before(steps(msgspec.structs.replace(spec(), process=run), program=program), *order)
    joining = ExecShape(run=run, namespaces=defaults.NAMESPACES, program=program)
    order = ("open own AppArmor", "join the container's", "enter AppArmor profile one", "load seccomp")
    assert before(make_exec_plan(joining).tape.steps, *order)


def test_joined_and_anchored_namespaces_are_not_made_by_the_clone():
    flags = make_plan(Shape(spec=spec(), joined=("network",))).flags
    assert flags & CLONE_NEWPID
    assert not flags & (CLONE_NEWNET | CLONE_NEWNS)
    assert make_plan(Shape(spec=spec(), anchored=False)).flags & CLONE_NEWNS


def test_slots_are_what_differs_between_containers():
    tape = make_plan(Shape(spec=spec(), joins=1, joined=("network",), program=ProgramShape(attempts=2))).tape
    assert set(tape.slots) == {
        "fd0", "fd1", "fd2", "cgroup0", "ns_network", "hostname", "hostname_length", "anchor", "root",
        "path0", "path1", "argv", "env",
    }  # fmt: skip


def test_a_read_only_root_comes_after_all_that_is_made_in_it():
    volume = Mount(destination="/data", type="tmpfs")
    found = steps(
        msgspec.structs.replace(spec(), mounts=(*defaults.MOUNTS, volume), root=Root(readonly=True))
    )
    assert before(found, "mount tmpfs on /data", "make / read-only", "go to working directory")


@pytest.mark.parametrize(
    ("linux", "message"),
    [
        ({"sysctl": (("kernel.panic", "1"),)}, r"sysctl kernel\.panic"),
        ({"sysctl": (("net.x", "1"),), "namespaces": namespaces_of(("mount",))}, r"sysctl net\.x"),
    ],
)
def test_a_parameter_of_the_hosts_is_refused(linux, message):
    with pytest.raises(PlanError, match=message):
        steps(spec(**linux))


@pytest.mark.parametrize("path", ["/proc", "/proc/cpuinfo", "/./sys/", "/a/../b", "/dev/.."])
def test_a_mount_that_would_hide_a_mask_is_refused(path):
    mounts = (*defaults.MOUNTS, Mount(destination=path, type="tmpfs"))
    with pytest.raises(PlanError, match=f" {re.escape(path)}: "):
        steps(msgspec.structs.replace(spec(), mounts=mounts))


def test_an_exec_joins_all_but_the_pid_namespace_by_itself():
    plan = make_exec_plan(ExecShape(run=Process(capabilities=CAPS), namespaces=defaults.NAMESPACES, joins=1))
    assert plan.flags == 0
    assert before(plan.tape.steps, "join cgroup 0", "join the container's namespaces", "set uid 0", "execve")
    bare = make_exec_plan(ExecShape(run=Process(), namespaces=("pid",)))
    assert "target" not in bare.tape.slots
