"""Each flag of `run` through docker's command and ours, checked inside the container."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from runtime.oci import defaults
from tests.runtime.clients import Client

pytestmark = pytest.mark.root

NONE = "--network=none"
EFFECTIVE = "grep CapEff /proc/self/status | cut -f2"


def ours(kind: str) -> str:
    return re.escape(str(Path(f"/proc/self/ns/{kind}").readlink()))


SEEN = [
    # ---- the program and its surroundings ----
    ("-e A=1 -e B=2 -e A=3", "echo $A$B", "32"),
    ("-e HOME=/x", "echo $HOME", "/x"),
    ("-e HOSTNAME -e HOME", "env | grep ^HO", "HOME=.*"),
    ("-u alice -h box", "env | grep -v -e PWD -e SHLVL | sort",
     f"HOME=/\nHOSTNAME=box\n{re.escape(defaults.PATH)}"),
    ("-h box", "hostname; cat /etc/hostname", "box\nbox"),
    ("-h box --domainname example.org", "cat /proc/sys/kernel/domainname", "example.org"),
    ("-w /some/where", "pwd", "/some/where"),
    ("-u alice", "id", r"uid=1000\(alice\) gid=1000\(alice\) groups=44\(video\),1000\(alice\)"),
    ("-u 1234:44", "id -u; id -g", "1234\n44"),
    ("-u alice --group-add 777 --group-add video", "id -G | tr ' ' '\\n' | sort -n", "44\n777\n1000"),
    ("--entrypoint echo", None, "-c hello"),
    ("--init", "cat /proc/1/comm; test $$ -ne 1 && echo other", r"\S*init\S*\nother"),
    ("--no-healthcheck --stop-signal INT --stop-timeout 3", "echo x", "x"),
    ("--oom-score-adj 77", "cat /proc/self/oom_score_adj", "77"),
    # ---- rights ----
    ("", "grep -h ^Cap /proc/self/status | cut -f2", "0+\n(00000000a80425fb\n){3}0+"),
    ("--cap-drop ALL --cap-add NET_RAW", EFFECTIVE, "0000000000002000"),
    ("--cap-add SYS_TIME", EFFECTIVE, "00000000aa0425fb"),
    ("--cap-add CAP_SYS_TIME --cap-drop mknod", EFFECTIVE, "00000000a20425fb"),
    ("--privileged", "ls /dev/kmsg; grep Seccomp: /proc/self/status", "/dev/kmsg\nSeccomp:\t0"),
    ("--security-opt no-new-privileges", "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1"),
    ("", "grep Seccomp: /proc/self/status", "Seccomp:\t2"),
    ("--security-opt seccomp=unconfined", "grep Seccomp: /proc/self/status", "Seccomp:\t0"),
    ("--read-only --tmpfs /tmp", "touch /x 2>/dev/null || echo no; touch /tmp/x && echo yes", "no\nyes"),
    ("--ulimit nofile=100:200 --ulimit core=0", "ulimit -Sn; ulimit -Hn; ulimit -c", "100\n200\n0"),
    ("--device /dev/kmsg:/dev/mine:w",
     ": >/dev/mine && echo open; (head -c1 /dev/mine) 2>&1 | grep -o permitted", "open\npermitted"),
    ("--device-cgroup-rule 'c 1:* rwm'", "mknod /m c 1 1 && head -c1 /m | wc -c", "[01]"),
    # ---- the kernel's view ----
    ("--sysctl net.ipv4.ip_forward=1 --sysctl kernel.msgmax=9000",
     "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax", "1\n9000"),
    ("--shm-size 3m", "df -m /dev/shm | tail -n1 | awk '{print $2}'", "3"),
    ("--tmpfs /t:size=2m,mode=700", "df -m /t | tail -n1 | awk '{print $2}'; stat -c %a /t", "2\n700"),
    ("--pid host", "test -d /proc/{pid} && echo shared", "shared"),
    ("--ipc host", "readlink /proc/self/ns/ipc", ours("ipc")),
    ("--ipc host", "stat -c %d:%i /dev/shm", "{0.st_dev}:{0.st_ino}".format(Path("/dev/shm").stat())),
    ("--ipc host --tmpfs /dev/shm:size=2m", "df -m /dev/shm | tail -n1 | awk '{print $2}'", "2"),
    ("--ipc none", "grep -c ' /dev/shm ' /proc/self/mounts; true", "0"),
    ("--uts host", "readlink /proc/self/ns/uts", ours("uts")),
    ("--network host", "readlink /proc/self/ns/net", ours("net")),
    ("--cgroupns host", "readlink /proc/self/ns/cgroup", ours("cgroup")),
    # ---- names and networks ----
    ("--add-host a.test:10.1.2.3", "grep a.test /etc/hosts", "10.1.2.3\ta.test"),
    ("--dns 10.9.9.9 --dns-search x.test --dns-option ndots:3", "grep -v '^#' /etc/resolv.conf",
     "nameserver 10.9.9.9\nsearch x.test\noptions ndots:3"),
    ("--network none", "ls /sys/class/net", "lo"),
    ("--mac-address 02:42:ac:11:00:77 --net bridge", "cat /sys/class/net/eth0/address", "02:42:ac:11:00:77"),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "script", "wanted"), SEEN, ids=[f"{one[0]}" or "plain" for one in SEEN])
def test_a_flag_is_seen_inside(client: Client, flags: str, script: str | None, wanted: str):
    words = shlex.split(flags)
    if not any(word.startswith(("--network", "--net")) for word in words):
        words.insert(0, NONE)
    program = ["-c", "hello"] if script is None else ["sh", "-c", script.replace("{pid}", str(os.getpid()))]
    said = client("run", "--rm", *words, "busybox", *program).strip()
    assert re.fullmatch(wanted, said), (wanted, said)


def test_a_filter_of_ones_own(client: Client, tmp_path: Path):
    profile = tmp_path / "profile.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    words = ("--security-opt", f"seccomp={profile}", "busybox", "sh", "-c")
    said = client("run", "--rm", NONE, *words, "mkdir /d 2>/dev/null || echo no; echo > /f && echo yes")
    assert said == "no\nyes\n"
    profile.write_text("{")
    assert "seccomp" in client.refused("run", "--rm", NONE, *words, "true").lower()


def test_namespaces_of_another_container(client: Client):
    flags = (NONE, "--ipc", "shareable", "--name", "first", "--stop-timeout", "0", "-h", "one")
    client("run", "-d", *flags, "busybox", "sleep", "600")
    kinds = {"--pid": "pid", "--ipc": "ipc", "--network": "net"}
    for flag, kind in kinds.items():
        mine = client("exec", "first", "readlink", f"/proc/self/ns/{kind}")
        flags = [flag, "container:first"] + ([] if flag == "--network" else [NONE])
        assert client("run", "--rm", *flags, "busybox", "readlink", f"/proc/self/ns/{kind}") == mine
    assert client("run", "--rm", "--network", "container:first", "busybox", "hostname") == "one\n"
    said = client.refused("run", "--rm", "--network", "container:first", "-p", "80:80", "busybox", "true")
    assert "conflicting options" in said
    assert "No such container: none" in client.refused(
        "run", "--rm", "--pid", "container:none", NONE, "busybox", "true"
    )


def test_files_of_variables_and_labels(client: Client, tmp_path: Path):
    variables, labels = tmp_path / "env", tmp_path / "labels"
    variables.write_text("# comment\nA=one two\nHOME_OF_TESTS\n")
    labels.write_text("first=1\nsecond=a b\n")
    id_file = tmp_path / "id"
    flags = ("--env-file", variables, "--label-file", labels, "-l", "third", "--cidfile", id_file)
    id_ = client("create", NONE, *flags, "--annotation", "note=x", "busybox", "env").strip()
    assert id_file.read_text() == id_
    (found,) = json.loads(client("inspect", id_))
    assert "A=one two" in found["Config"]["Env"]
    assert not any(one.startswith("HOME_OF_TESTS") for one in found["Config"]["Env"])
    assert found["Config"]["Labels"] == {"first": "1", "second": "a b", "third": ""}
    assert found["HostConfig"]["Annotations"] == {"note": "x"}
    client("rm", id_)


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ("--cpus 1000", "CPUs"), ("-m 1k", "memory"), ("--network no-such-net", "not found"),
        ("--pid nonsense", "PID"), ("--ipc nonsense", "IPC"), ("--uts nonsense", "UTS"),
        ("--restart nonsense", "restart"), ("--restart always --rm", "onflicting|exclude"),
        ("--cap-add NONSENSE", "apability"), ("--ulimit nonsense=1", "ulimit"),
        ("--sysctl kernel.hostname=x", "sysctl"), ("--security-opt nonsense=1", "ecurity"),
        ("--log-driver nonsense", "nonsense"), ("--log-opt nonsense=1", "nonsense"),
        ("--device /dev/nonsense", "nonsense"), ("-v relative/path:/x", "relative/path"),
        ("-v /x:relative", "relative"), ("-u nonsense", "nonsense"), ("--runtime nonsense", "nonsense"),
        ("--mac-address nonsense", "nonsense"), ("--stop-signal NONSENSE", "NONSENSE"),
        ("-w relative", "relative"), ("--group-add nonsense", "nonsense"), ("--name a/b", "a/b"),
        ("--tmpfs relative", "relative"), ("--oom-score-adj 5000", "oom"),
        ("--memory-swap 1m -m 2m", "emory"),
        ("--dns nonsense", "nonsense"), ("--storage-opt size=1G", "storage"), ("--gpus all", r"\[\[gpu\]\]"),
        ("--pull never --platform linux/s390x", "wanted linux/s390x, actual"), ("--link nobody", "nobody"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_its_name_and_leaves_nothing(client: Client, flags: str, word: str):
    done = client.run("run", *flags.split(), "busybox", "true")
    assert done.returncode in (2, 125, 127), (done.returncode, done.stdout, done.stderr)
    assert re.search(word, done.stderr.decode()), done.stderr
    if "--rm" not in flags:
        assert len(client("ps", "-aq").split()) <= 1  # some are found out at the start, as with docker
