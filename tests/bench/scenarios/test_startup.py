import re
import socket
import threading
import time

import pytest

from bench.backends.base import InstanceSpec, StartRecord
from bench.scenarios import startup
from bench.scenarios.base import Context, ScenarioError
from bench.testing import FakeBackend


def record(*phases, first=None):
    return StartRecord(requested_ns=100, ready_ns=200, first_output_ns=first, phases=phases)


def test_phases_follow_one_another_and_unknown_ones_are_summed():
    found = startup.phase_readings(record(("spawn", 30), ("novel", 5), ("newer", 7), ("program", 2)))
    assert [(r.metric.rpartition(".")[2], r.start_ns, r.duration_ns) for r in found] == [
        ("spawn", 100, 30),
        ("other", 130, 12),
        ("program", 142, 2),
    ]
    assert found[0].value == 30e-9


def test_a_start_without_a_stamp_of_its_output_is_an_error():
    scenario = startup.SCENARIOS[0]
    with pytest.raises(ScenarioError, match=re.escape(scenario.name)):
        scenario._readings(record(("spawn", 30)))


def test_back_to_back_starts_stop_each_instance_before_the_next():
    backend = FakeBackend("fake")
    context = Context(backend=backend, instance=None, worker=None, wire=None, session=0, block=0, cpus=(0,))
    with pytest.raises(ScenarioError):
        startup.SCENARIOS[0].run(context)
    assert backend.live == []


def test_the_server_gets_a_password_as_long_as_the_planned_one():
    spec = startup.SCENARIOS[-1].spec
    assert spec.network == "bridge"
    assert isinstance(spec, InstanceSpec)
    assert "0" * 16 in spec.argv


@pytest.fixture
def late_server():
    """Has a port, listens only after a while, and answers one question."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    port = server.getsockname()[1]
    asked = []

    def serve():
        time.sleep(0.05)
        with server:
            server.listen()
            connection, _ = server.accept()
            with connection:
                asked.append(connection.recv(100))
                connection.sendall(b"+OK\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    yield port, asked
    thread.join()


def test_first_answer_waits_for_the_server(late_server):
    port, asked = late_server
    before = time.monotonic_ns()
    answered = startup.first_answer("127.0.0.1", port, b"PING\r\n", patience_s=60)
    assert before < answered <= time.monotonic_ns()
    assert asked == [b"PING\r\n"]


def test_no_answer_names_address_and_cause():
    with pytest.raises(ScenarioError, match=r"\b127\.0\.0\.1:1\b.*refused"):
        startup.first_answer("127.0.0.1", 1, b"", patience_s=0.01)
