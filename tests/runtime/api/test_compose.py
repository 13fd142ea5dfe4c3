"""docker compose against a real daemon."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from daemon_process import Daemon

COMPOSE = shutil.which("docker-compose")

pytestmark = [pytest.mark.root, pytest.mark.skipif(COMPOSE is None, reason="needs docker-compose")]

PROJECT = """
services:
  db:
    image: busybox
    command: ["sh", "-c", "echo db is up; trap exit TERM; while :; do sleep 0.1; done"]
    healthcheck: {test: ["CMD", "true"], interval: 1s, retries: 3}
    volumes: ["data:/data"]
  web:
    image: busybox
    command: ["sh", "-c", "ping -c 1 db && echo reached; trap exit TERM; while :; do sleep 0.1; done"]
    depends_on: {db: {condition: service_healthy}}
volumes: {data: {}}
"""


def compose(daemon: Daemon, directory: Path, *arguments: str) -> str:
    assert COMPOSE is not None
    done = subprocess.run(
        [COMPOSE, "--project-name", "pair", *arguments],
        cwd=directory, env=daemon.environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_project_comes_up_in_order_and_goes_without_a_trace(daemon: Daemon, tmp_path: Path):
    (tmp_path / "compose.yaml").write_text(PROJECT)
    compose(daemon, tmp_path, "up", "-d", "--quiet-pull")
    rows = [json.loads(line) for line in compose(daemon, tmp_path, "ps", "--format", "json").splitlines()]
    assert {(row["Service"], row["State"]) for row in rows} == {("db", "running"), ("web", "running")}
    logs = compose(daemon, tmp_path, "logs", "--no-color", "db")
    assert "db is up" in logs
    assert compose(daemon, tmp_path, "exec", "-T", "web", "echo", "here") == "here\n"
    compose(daemon, tmp_path, "down", "-v", "-t", "1")
    assert daemon.docker("ps", "-aq") == ""
    assert "pair" not in daemon.docker("network", "ls") + daemon.docker("volume", "ls")
