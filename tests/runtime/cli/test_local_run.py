"""The real `nn` as a user calls it: processes, not functions."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
import urllib.request
from pathlib import Path

import pytest
from free_ports import free_port
from local_calls import Nn, command
from terminals import Terminal

pytestmark = pytest.mark.root

QUIET = ("run", "--rm", "--network", "none")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -9 $$; sleep 9 & kill -9 $!; exit 3"), 3),
        (("/nope",), 127),
        (("nope",), 127),
        (("/etc/passwd",), 126),
        (("/etc",), 126),
    ],
)
def test_exit_status_is_dockers(nn: Nn, arguments: tuple[str, ...], status: int) -> None:
    assert nn(*QUIET, "busy", *arguments).returncode == status


@pytest.mark.parametrize("flags", [("--entrypoint", "/nope"), ("--init", "--entrypoint", "/nope")])
def test_exit_status_of_a_missing_entrypoint(nn: Nn, flags: tuple[str, ...]) -> None:
    assert nn(*QUIET, *flags, "busy").returncode == 127


def test_unknown_image_is_125_and_says_what_to_do(nn: Nn) -> None:
    done = nn(*QUIET, "nothere")
    assert done.returncode == 125
    assert done.stderr.startswith("nn: No such image: nothere:latest")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("flags", [("-v", "/tmp:/proc/x"), ("--sysctl", "kernel.panic=1")])
def test_what_would_harm_the_host_is_refused_in_a_line(nn: Nn, flags: tuple[str, ...]) -> None:
    done = nn(*QUIET, *flags, "busy", "id")
    assert (done.returncode, done.stderr.count("\n")) == (125, 1)


def test_input_reaches_the_program_only_when_asked(nn: Nn) -> None:
    assert nn(*QUIET, "-i", "busy", "cat", input="hello").stdout == "hello"
    assert nn(*QUIET, "busy", "cat", input="hello").stdout == ""


def test_stdout_and_stderr_stay_apart(nn: Nn) -> None:
    done = nn(*QUIET, "busy", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_environment_user_directory_and_hostname(nn: Nn, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# comment\nB=from file\nC=1\n")
    flags = ("-e", "A=1", "--env-file", tmp_path / "env", "-e", "C=2", "-u", "app", "-w", "/tmp", "-h", "box")
    script = "echo $A,$B,$C,$HOME,$HOSTNAME; id -u; id -g; pwd; hostname"
    out = nn(*QUIET, *flags, "busy", "sh", "-c", script).stdout
    assert out.splitlines() == ["1,from file,2,/home/app,box", "1000", "1001", "/tmp", "box"]


def test_limits_are_set(nn: Nn) -> None:
    flags = (
        "--memory",
        "8m",
        "--memory-swap",
        "8m",
        "--pids-limit",
        "9",
        "--cpuset-cpus",
        "0",
        "--ulimit",
        "nofile=99",
    )
    done = nn(
        *QUIET,
        *flags,
        "busy",
        "sh",
        "-c",
        "ulimit -n; grep Cpus_allowed_list /proc/self/status; tail /dev/zero",
    )
    assert done.stdout.split() == ["99", "Cpus_allowed_list:", "0"]
    assert done.returncode == 137


def test_mounts_and_a_read_only_root(nn: Nn, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from host")
    flags = (
        "-v",
        f"{tmp_path}:/data:ro",
        "-v",
        f"{tmp_path}:/rw",
        "--tmpfs",
        "/scratch:size=64k",
        "--read-only",
    )
    script = "cat /data/file; touch /rw/made /scratch/x; touch /x /data/x 2>/dev/null || exit 5"
    done = nn(*QUIET, *flags, "busy", "sh", "-c", script)
    assert (done.stdout, done.returncode) == ("from host", 5)
    assert (tmp_path / "made").exists()
    assert not (tmp_path / "x").exists()


def test_capabilities_and_seccomp(nn: Nn) -> None:
    show = ("busy", "grep", "-E", "CapEff|Seccomp:|NoNewPrivs", "/proc/self/status")
    assert nn(*QUIET, *show).stdout.split()[1::2] == ["00000000a80425fb", "0", "2"]
    flags = ("--cap-drop", "ALL", "--cap-add", "CHOWN", "--security-opt", "seccomp=unconfined")
    flags = (*flags, "--security-opt", "no-new-privileges")
    assert nn(*QUIET, *flags, *show).stdout.split()[1::2] == ["0000000000000001", "1", "0"]


@pytest.mark.parametrize("flags", [(), ("--init",)])
def test_signals_are_forwarded(state: Path, flags: tuple[str, ...]) -> None:
    script = "trap 'echo got; exit 42' USR1; echo ready; while :; do sleep 0.1; done"
    line = [*command(state), *QUIET, *flags, "busy", "sh", "-c", script]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "got\n"
        assert process.wait(60) == 42


def test_terminate_ends_a_program_under_init(state: Path) -> None:
    line = [*command(state), *QUIET, "--init", "busy", "sh", "-c", "echo ready; exec sleep 60"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM


def in_terminal(line: list[str], steps: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    """Run `line` in a terminal of 33 x 77, type each answer after its prompt; return status and output."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(line[0], line)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    seen, at = b"", 0
    try:
        while select.select([fd], [], [], 60)[0]:
            seen += os.read(fd, 4096)
            if steps and steps[0][0] in seen[at:]:
                at = len(seen)
                os.write(fd, steps.pop(0)[1])
    except OSError:  # a terminal's end
        pass
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen


def test_a_terminal_has_size_echo_and_control_c(state: Path) -> None:
    steps = [
        # The sleeper itself says so: control-c before it has the terminal would go to the shell alone.
        (b"# ", b"stty size; tty; sh -c 'echo slee\"\"ping; exec sleep 60'\r"),
        (b"sleeping", b"\x03"),
        (b"# ", b"exit 9\r"),
    ]
    status, seen = in_terminal([*command(state), *QUIET, "-it", "busy", "sh"], steps)
    assert status == 9
    assert b"33 77" in seen
    assert b"/dev/pts/0" in seen
    assert b"^C" in seen


def test_a_closed_window_ends_it(state: Path) -> None:
    with_a_trap = "trap 'echo hung up > /seen/it; exit 5' HUP; echo re''ady; while :; do sleep 0.1; done"
    for script, status in ((with_a_trap, 5), ("trap '' HUP; echo re''ady; sleep 600", 137)):
        seen = state.parent / "seen"
        seen.mkdir(exist_ok=True)
        line = [*command(state), *QUIET, "-it", "-v", f"{seen}:/seen", "busy", "sh", "-c", script]
        terminal = Terminal(line, os.environ)
        terminal.until(b"ready")
        assert terminal.hang_up() == status
        assert (seen / "it").read_text() == "hung up\n"


def test_tty_needs_one(nn: Nn) -> None:
    done = nn(*QUIET, "-it", "busy", "sh", input="")
    assert done.returncode == 125
    assert "not a TTY" in done.stderr


def test_a_closed_pipe_ends_quietly(state: Path) -> None:
    line = " ".join([*command(state), *QUIET, "--init", "busy", "yes"])  # pid 1 itself would ignore SIGPIPE
    done = subprocess.run(f"{line} | head -1", shell=True, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("y\n", "")


@pytest.mark.network
def test_a_published_port_answers(state: Path) -> None:
    port = free_port()
    script = "echo hi > /tmp/index.html; echo ready; exec httpd -f -p 80 -h /tmp"
    line = [*command(state), "run", "--rm", "--init", "-p", f"{port}:80", "busy", "sh", "-c", script]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).read()
                break
            except OSError:
                time.sleep(0.05)
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    assert answer == b"hi\n"
