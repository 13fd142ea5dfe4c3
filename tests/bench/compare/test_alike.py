"""Which runs may be compared: every fact of a host has its weight, and each refusal is told item by item."""

import re

import msgspec
import pytest

from bench.compare import CompareError, UnlikeRunsError, compare
from bench.compare.comparability import ALLOWABLE, ITEMS, differences
from bench.model import BackendInfo, Fingerprint, ImageInfo
from bench.testing import fake_host
from tests.bench.compare.made import drawn, loaded, record

CRUN = BackendInfo(name="crun", kind="container", version="1.20")
SAMPLES = drawn(sessions=4, blocks=2)
RUN = record(SAMPLES)


def host(**changes):
    return msgspec.structs.replace(RUN, host=msgspec.structs.replace(fake_host(), **changes))


def image(digest):
    return ImageInfo(reference="bench:1", digest=digest, layers=(), source="made")


def other_work(plan):
    first, *others = plan.metrics
    return msgspec.structs.replace(
        plan, metrics=(msgspec.structs.replace(first, definition="Something else."), *others)
    )


REFUSED = {
    "cpu": host(cpu_model="Other CPU"),
    "cpus": host(cpus=4),
    "placement": msgspec.structs.replace(RUN, plan=msgspec.structs.replace(RUN.plan, cpus=(2, 3))),
    "memory": host(memory_bytes=2 << 30),
    "kernel": host(kernel="6.1.0-fake x86_64"),
    "cgroups": host(cgroup_layout="v1"),
    "mitigations": host(mitigations={"meltdown": "Mitigation: PTI"}),
    "governor": host(governor="powersave"),
    "smt": host(smt="on"),
    "clocksource": host(clocksource="hpet"),
    "thp": host(thp="always"),
    "virtualization": host(virtualization="virtual machine (fake)"),
    "filesystem": host(filesystem="btrfs (/dev/fake)"),
    "image": msgspec.structs.replace(RUN, image=image("sha256:01")),
    "image-tools": msgspec.structs.replace(RUN, versions={"image/fio": "3.40"}),
    "metrics": msgspec.structs.replace(RUN, plan=other_work(RUN.plan)),
}
NOTED = {
    "hostname": host(hostname="other"),
    "distribution": host(distribution="Fake Linux 2"),
    "python": host(python="3.13.0"),
    "host-tools": host(tools={"qemu": "fake 2.0"}),
    "packages": msgspec.structs.replace(RUN, versions={"ninetynine": "0.2.0"}),
    "backends": msgspec.structs.replace(RUN, backends=(msgspec.structs.replace(CRUN, version="1.21"),)),
    "profile": msgspec.structs.replace(RUN, plan=msgspec.structs.replace(RUN.plan, profile="full")),
}


def test_equal_runs_differ_in_nothing():
    assert differences(RUN, RUN) == []


def test_metrics_that_one_run_alone_has_are_no_other_work():
    fewer = msgspec.structs.replace(RUN, plan=msgspec.structs.replace(RUN.plan, metrics=RUN.plan.metrics[1:]))
    assert differences(RUN, fewer) == differences(fewer, RUN) == []


def test_every_item_is_tried_here():
    assert {item.name for item in ITEMS} == {*REFUSED, *NOTED, "machine"}
    assert set(ALLOWABLE) == set(REFUSED)


@pytest.mark.parametrize("field", [one.name for one in msgspec.structs.fields(Fingerprint)])
def test_no_fact_of_a_host_is_forgotten(field):
    value = getattr(fake_host(), field)
    other = value * 10 if isinstance(value, int) else {"x": "y"} if isinstance(value, dict) else f"{value}'"
    assert differences(RUN, host(**{field: other})), f"two hosts with another {field} would pass for one"


@pytest.mark.parametrize("item", REFUSED)
def test_what_changes_the_measurement_is_refused_and_can_be_allowed_by_name(item):
    (found,) = differences(RUN, REFUSED[item])
    assert (found.item, found.weight) == (item, "refused")
    assert found.old != found.new
    (found,) = differences(RUN, REFUSED[item], allowed=[item])
    assert found.weight == "allowed"


@pytest.mark.parametrize("item", NOTED)
def test_what_does_not_reach_the_measured_programs_is_only_noted(item):
    (found,) = differences(RUN, NOTED[item])
    assert (found.item, found.weight) == (item, "noted")


def test_of_a_table_of_facts_only_those_that_differ_are_listed():
    before = {"meltdown": "Not affected", "l1tf": "Not affected"}
    (found,) = differences(host(mitigations=before), host(mitigations=before | {"l1tf": "Vulnerable"}))
    assert (found.old, found.new) == ("l1tf: Not affected", "l1tf: Vulnerable")


def test_memory_may_differ_by_what_a_kernel_takes():
    assert differences(host(memory_bytes=1 << 30), host(memory_bytes=(1 << 30) - (4 << 20))) == []


def test_another_machine_is_refused_whatever_was_allowed(tmp_path):
    old = loaded(tmp_path / "old", SAMPLES)
    new = loaded(tmp_path / "new", SAMPLES, host=host(machine_id="other", kernel="7.0").host)
    with pytest.raises(UnlikeRunsError, match="machine: fake → other") as refused:
        compare(old, new, allow=ALLOWABLE)
    assert [one.item for one in refused.value.differences] == ["machine", "kernel"]
    assert "--allow" not in str(refused.value)


def test_a_refusal_names_the_options_that_allow_it(tmp_path):
    old = loaded(tmp_path / "old", SAMPLES)
    new = loaded(tmp_path / "new", SAMPLES, host=host(governor="powersave", kernel="7.0").host)
    with pytest.raises(UnlikeRunsError, match="--allow kernel --allow governor") as refused:
        compare(old, new)
    assert "kernel: 6.0.0-fake x86_64 → 7.0" in str(refused.value)
    with pytest.raises(UnlikeRunsError, match="governor: performance → powersave"):
        compare(old, new, allow=["kernel"])
    found = compare(old, new, allow=["kernel", "governor"])
    assert [(one.item, one.weight) for one in found.differences] == [
        ("kernel", "allowed"),
        ("governor", "allowed"),
    ]


def test_an_item_that_cannot_be_allowed_is_named(tmp_path):
    old, new = (loaded(tmp_path / name, SAMPLES) for name in ("old", "new"))
    with pytest.raises(CompareError, match=r"'machine'.*\bcpu, cpus, "):
        compare(old, new, allow=["machine"])


def test_a_run_is_not_compared_with_itself(tmp_path):
    run = loaded(tmp_path / "run", SAMPLES)
    with pytest.raises(CompareError, match=re.escape(str(run.directory))):
        compare(run, run)


def test_runs_given_the_wrong_way_round_are_asked_about(tmp_path):
    old = loaded(tmp_path / "old", SAMPLES, started="2026-11-24T00:00:00Z")
    new = loaded(tmp_path / "new", SAMPLES, started="2026-11-23T00:00:00Z")
    assert "NEW was started before OLD" in compare(old, new).notes[0]
    assert compare(new, old).notes == ()
