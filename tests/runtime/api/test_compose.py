"""docker compose against a real daemon."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.runtime.daemon_process import Daemon

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

APPLICATION = """
services:
  db:
    image: busybox
    command: sh -c 'mkdir /w; echo kept > /w/index.html; exec httpd -f -h /w -p 5000'
    healthcheck: {test: ["CMD", "wget", "-qO-", "http://127.0.0.1:5000/"], interval: 1s, retries: 9}
    volumes: ["data:/data", "/anonymous"]
    networks: {back: {aliases: [database]}}
    stop_grace_period: 0s
  web:
    build: {context: ., args: {WHO: you}}
    depends_on: {db: {condition: service_healthy}, once: {condition: service_completed_successfully}}
    ports: ["127.0.0.1::80"]
    environment: {MODE: fast}
    env_file: [more.env]
    volumes: ["./html:/html:ro", {type: tmpfs, target: /t, tmpfs: {size: 1048576}}]
    configs: [{source: conf, target: /etc/conf}]
    secrets: [token]
    networks: {front: {ipv4_address: 10.235.0.50}, back: {}}
    extra_hosts: ["up:host-gateway"]
    deploy: {resources: {limits: {memory: 64M}}}
    cap_drop: [ALL]
    init: true
    stop_grace_period: 0s
  worker:
    image: busybox
    command: sleep 600
    scale: 2
    networks: [back]
    stop_grace_period: 0s
  once: {image: busybox, command: echo done, network_mode: none}
  beside: {image: busybox, command: "wget -qO- http://127.0.0.1:5000/", network_mode: "service:db",
           depends_on: {db: {condition: service_healthy}}}
networks:
  front: {ipam: {config: [{subnet: 10.235.0.0/24}]}, driver_opts: {com.docker.network.driver.mtu: "1400"}}
  back: {internal: true}
volumes: {data: {driver_opts: {type: tmpfs, device: tmpfs, o: size=1m}}}
configs: {conf: {file: ./conf}}
secrets: {token: {file: ./token}}
"""
DOCKERFILE = """
FROM busybox
ARG WHO
RUN mkdir /www && echo hello $WHO > /www/index.html
CMD ["httpd", "-f", "-h", "/www", "-p", "80"]
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


@pytest.mark.network
def test_an_application_is_built_connected_scaled_changed_and_taken_down(daemon: Daemon, tmp_path: Path):
    files = {
        "compose.yaml": APPLICATION, "Dockerfile": DOCKERFILE, "more.env": "MORE=1\n", "conf": "configured\n",
        "token": "secret\n", "html/page": "page\n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    def run(*arguments: str) -> str:
        return compose(daemon, tmp_path, *arguments)

    run("build", "--quiet")
    run("up", "-d")
    host, _, port = run("port", "web", "80").strip().rpartition(":")
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=60) as answer:
        assert answer.read() == b"hello you\n"
    script = (
        "wget -qO- http://database:5000/; cat /etc/conf /run/secrets/token /html/page; echo $MODE $MORE; "
        "ip -4 addr show; df -m /t | tail -n 1"
    )
    seen = run("exec", "-T", "web", "sh", "-c", script)
    assert seen.startswith("kept\nconfigured\nsecret\npage\nfast 1\n")
    assert "10.235.0.50/24" in seen
    assert "mtu 1400" in seen
    assert run("exec", "-T", "worker", "nslookup", "worker").count("Address: ") == 2
    assert "beside-1  | kept" in run("logs", "--no-color", "beside")
    assert run("run", "--rm", "worker", "echo", "ran") == "ran\n"
    run("up", "-d", "--scale", "worker=3")
    assert len(run("ps", "-q", "worker").split()) == 3
    run("restart", "worker")
    before = run("ps", "-q", "db")
    (tmp_path / "compose.yaml").write_text(APPLICATION.replace("MODE: fast", "MODE: slow"))
    run("up", "-d")
    assert run("exec", "-T", "web", "sh", "-c", "echo $MODE") == "slow\n"
    assert run("ps", "-q", "db") == before, "only what changed is made again"
    run("down", "-v", "--remove-orphans")
    assert daemon.docker("ps", "-aq") == ""
    assert "pair" not in daemon.docker("network", "ls") + daemon.docker("volume", "ls")
