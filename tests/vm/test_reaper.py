"""Which children the driver's process reaps, with copies of `sleep` named as QEMU."""

import os
import shutil
import subprocess

import pytest

from vm.reaper import reap_qemus


@pytest.fixture
def ended(tmp_path):
    """A function: start a program of that name, let it end, and return it unwaited for."""
    shutil.copy(shutil.which("true") or "/bin/true", tmp_path / "program")

    def start(name, own_session):
        shutil.copy(tmp_path / "program", tmp_path / name)
        process = subprocess.Popen([tmp_path / name], start_new_session=own_session)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return process

    return start


def test_a_daemon_is_waited_for(ended):
    daemon = ended("qemu-system-x86_64", own_session=True)
    assert reap_qemus() == [daemon.pid]
    with pytest.raises(ChildProcessError):
        os.waitpid(daemon.pid, os.WNOHANG)


@pytest.mark.parametrize(
    ("name", "own_session"), [("qemu-system-x86_64", False), ("virt-aa-helper", True), ("dmidecode", False)]
)
def test_what_libvirt_waits_for_is_left_to_it(ended, name, own_session):
    child = ended(name, own_session)
    assert reap_qemus() == []
    assert child.wait() == 0
