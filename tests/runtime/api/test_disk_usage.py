"""`/system/df` while other clients remove what it counts."""

from __future__ import annotations

import threading

import docker
import pytest

from tests.runtime.daemon_process import Daemon

pytestmark = [pytest.mark.root, pytest.mark.own_daemon]


def test_volumes_may_go_while_they_are_counted(daemon: Daemon):
    over = threading.Event()

    def change() -> None:
        client = docker.APIClient(base_url=daemon.host)
        while not over.is_set():
            names = [client.create_volume()["Name"] for _ in range(8)]
            for name in names:
                client.remove_volume(name)
        client.close()

    changing = [threading.Thread(target=change) for _ in range(3)]
    for thread in changing:
        thread.start()
    client = docker.APIClient(base_url=daemon.host)
    try:
        counted = [len(client.df()["Volumes"]) for _ in range(200)]
    finally:
        over.set()
        for thread in changing:
            thread.join()
        client.close()
    assert max(counted) > 0
