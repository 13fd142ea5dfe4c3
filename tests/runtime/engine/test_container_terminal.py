from __future__ import annotations

import os
import select
import signal
import time

import pytest

from runtime.engine import ContainerConfig, ContainerStateError

pytestmark = pytest.mark.root


def read_all(fd: int) -> str:
    text = b""
    while select.select([fd], [], [], 60)[0]:
        try:
            text += os.read(fd, 1000)
        except OSError:  # EIO: the other end is closed
            break
    return text.decode().replace("\r", "")


def test_a_terminal_is_stdio_console_and_controlling(engine, rootfs):
    script = "tty; stty size; stat -c '%t:%T' /dev/console; read line; echo got $line > /dev/tty"
    container = engine.create(ContainerConfig(layers=(str(rootfs),), argv=("sh", "-c", script), tty=True))
    container.start()
    container.resize(33, 77)
    os.write(container.tty_fd, b"hello\n")
    lines = read_all(container.tty_fd).splitlines()
    assert container.wait() == 0
    assert "/dev/pts/0" in lines
    assert "88:0" in lines
    assert lines[-1] == "got hello"
    container.remove()
    assert container.tty_fd == -1


def test_the_window_has_a_size(engine, rootfs):
    script = "read line; stty size"
    container = engine.create(ContainerConfig(layers=(str(rootfs),), argv=("sh", "-c", script), tty=True))
    container.start()
    container.resize(33, 77)
    os.write(container.tty_fd, b"\n")
    assert "33 77" in read_all(container.tty_fd)
    container.remove()


def test_the_programs_below_an_init_get_the_terminals_signals(engine, rootfs):
    config = ContainerConfig(layers=(str(rootfs),), argv=("sleep", "1000"), tty=True, init=True)
    container = engine.create(config)
    container.start()
    deadline = time.monotonic() + 60
    while container.wait(0.02) is None and time.monotonic() < deadline:
        os.write(container.tty_fd, b"\x03")
    assert container.wait(0) == 128 + signal.SIGINT
    container.remove()


def test_without_a_terminal_there_is_none_to_resize(engine, rootfs):
    container = engine.create(ContainerConfig(layers=(str(rootfs),), argv=("true",)))
    with pytest.raises(ContainerStateError, match="tty=True"):
        container.resize(1, 1)
