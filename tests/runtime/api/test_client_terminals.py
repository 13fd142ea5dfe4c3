"""Terminals through the real clients: sizes, keys, signals, detaching and reattaching."""

from __future__ import annotations

import os
import signal

import pytest

from tests.runtime.clients import Client
from tests.runtime.terminals import Terminal

pytestmark = pytest.mark.root

LEAVE = b"\x10\x11"
LEFT = {"docker": 1, "nn": 0}
"""The status of a client that was left by keys; docker's says "read escape sequence", but not for run."""


def shell(client: Client, *words: str) -> Terminal:
    terminal = client.terminal("run", "-it", "--network", "none", *words, "busybox", "sh")
    terminal.until(b"# ")
    return terminal


def test_it_has_the_users_size_and_follows_it(client: Client):
    terminal = shell(client, "--rm")
    terminal.send(b"stty size\r")
    terminal.until(b"24 80\r\n")
    terminal.resize(33, 77)
    terminal.send(b"while [ \"$(stty size)\" != '33 77' ]; do sleep 0.05; done; stty size\r")
    terminal.until(b"33 77\r\n")
    terminal.send(b"exit 5\r")
    assert terminal.end() == 5


def test_control_c_is_for_the_program_and_control_d_ends_it(client: Client):
    terminal = shell(client, "--rm")
    terminal.send(b"sh -c 'echo slee\"\"ping; exec sleep 600'\r")
    terminal.until(b"sleeping\r\n")
    terminal.send(b"\x03")
    terminal.until(b"^C")
    terminal.send(b"echo status $?\r")
    terminal.until_prompt(b"status 130\r\n")
    terminal.send(b"(exit 9)\r")
    terminal.until_prompt(b"(exit 9)\r\n")
    terminal.send(b"\x04")
    assert terminal.end() == 9


def test_the_keys_leave_it_and_attach_comes_back(client: Client):
    terminal = shell(client, "--name", "box")
    terminal.send(b"word=ma''gic\r" + LEAVE)
    assert terminal.end() == 0
    assert client("inspect", "-f", "{{.State.Running}}", "box") == "true\n"
    again = client.terminal("attach", "box")
    again.send(b"echo $word\r")
    again.until(b"magic\r\n")
    again.send(LEAVE)
    assert again.end() == LEFT[client.name]
    other = client.terminal("attach", "--detach-keys", "a,b", "box")
    other.send(b"echo on''ce$word\r")
    other.until(b"oncemagic\r\n")
    other.send(b"ab")
    assert other.end() == LEFT[client.name]
    last = client.terminal("attach", "box")
    last.send(b"exit 6\r")
    assert last.end() == 6


def test_a_closed_window_leaves_it_to_its_daemon(client: Client):
    terminal = shell(client, "--name", "box")
    terminal.send(b"word=ma''gic\r")
    terminal.until_prompt(b"word=ma''gic\r\n")
    if client.name == "docker":  # it stays, an orphan without a terminal
        os.kill(terminal.pid, signal.SIGKILL)
        terminal.hang_up()
    else:
        assert terminal.hang_up() == 0
    assert client("inspect", "-f", "{{.State.Running}}", "box") == "true\n"
    again = client.terminal("attach", "box")
    again.send(b"echo $word; exit 3\r")
    again.until(b"magic\r\n")
    assert again.end() == 3


def test_start_attached_has_a_terminal_again(client: Client):
    client("create", "-it", "--name", "box", "--network", "none", "busybox", "sh", "-c", "read a; exit $a")
    for status in (3, 4):
        terminal = client.terminal("start", "-ai", "box")
        terminal.send(b"%d\r" % status)
        assert terminal.end() == status


def test_an_exec_has_a_terminal_of_its_own(client: Client):
    client.detached("--name", "box", "busybox", "sleep", "600")
    terminal = client.terminal("exec", "-it", "box", "sh")
    terminal.until(b"# ")
    terminal.send(b"tty; stty size; ps | wc -l\r")
    terminal.until(b"/dev/pts/0\r\n24 80\r\n")
    terminal.send(b"exit 4\r")
    assert terminal.end() == 4


def test_the_keys_leave_an_exec_too(client: Client):
    client.detached("--name", "box", "busybox", "sleep", "600")
    terminal = client.terminal("exec", "-it", "--detach-keys", "ctrl-x,x", "box", "sh")
    terminal.until(b"# ")
    terminal.send(b"echo $$ > /pid; echo wr''itten\r")
    terminal.until(b"written\r\n")
    terminal.send(b"\x18x")
    assert terminal.end() == LEFT[client.name]
    assert client("exec", "box", "sh", "-c", "kill -0 $(cat /pid) && echo there") == "there\n"


def test_a_terminal_without_a_terminal_is_refused(client: Client):
    assert "TTY" in client.refused("run", "-it", "--rm", "busybox", "true")
    client.detached("--name", "box", "-it", "busybox", "sh")
    assert "TTY" in client.refused("attach", "box")
