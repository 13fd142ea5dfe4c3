import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.backends.base import BackendError
from bench.backends.programs.streams import PipeChannel
from bench.scenarios.base import ScenarioError
from bench.scenarios.worker import SHELL, Worker, split_answer


class Child:
    def __init__(self, *descriptors):
        stdin, stdout, stderr = descriptors
        self._process = subprocess.Popen(SHELL, stdin=stdin, stdout=stdout, stderr=stderr)
        self.pid, self.pidfd = self._process.pid, -1

    def wait(self):
        return self._process.wait()

    def kill(self):
        self._process.kill()


@pytest.fixture
def worker():
    channel = PipeChannel(Child, SHELL)
    yield Worker(channel)
    channel.close()


def test_output_and_stamps_of_a_program(worker):
    output = worker.run(["echo", "a b", "$HOME"])
    assert output.text == "a b $HOME\n"
    assert 0 < output.start_ns < output.end_ns


def test_output_without_final_newline_is_kept_whole(worker):
    assert worker.run(["printf", "x"]).text == "x"
    assert worker.run(["printf", ""]).text == ""
    assert worker.run(["printf", "x\\n\\n"]).text == "x\n\n"


def test_standard_error_is_joined(worker):
    assert worker.script("echo out; echo err >&2").text == "out\nerr\n"


def test_failure_names_program_status_and_words(worker):
    with pytest.raises(ScenarioError, match=r"^sh -c 'echo oh; exit 3': .*\b3\b.*oh$"):
        worker.script("echo oh; exit 3")


def test_missing_program_is_an_error_and_the_worker_lives_on(worker):
    with pytest.raises(ScenarioError, match=r"^/no/such/program: .*\b127\b"):
        worker.run(["/no/such/program"])
    assert worker.run(["echo", "alive"]).text == "alive\n"


def test_syntax_error_does_not_end_the_worker(worker):
    with pytest.raises(ScenarioError, match=r"if \).*\b2\b"):
        worker.script("if )")
    assert worker.run(["echo", "alive"]).text == "alive\n"


def test_program_cannot_eat_the_next_command(worker):
    assert worker.run(["cat"]).text == ""


def test_timeout_is_an_error(worker):
    with pytest.raises(ScenarioError, match=r"^sleep 5: .*0\.05 s"):
        worker.run(["sleep", "5"], timeout_s=0.05)


def test_dead_shell_is_an_error(worker):
    worker._channel.close()
    with pytest.raises(ScenarioError, match=r"^true: "):
        worker.run(["true"])


@given(st.binary(), st.integers(0, 255))
def test_any_output_is_split_from_its_status(body, status):
    text, found = split_answer(body + b"\n%d mark\n" % status, "mark")
    assert (text, found) == (body.decode(errors="replace"), status)


@given(st.binary())
def test_anything_else_is_refused(raw):
    with pytest.raises(ScenarioError, match=re.escape(repr(raw[-200:]))):
        split_answer(raw, "mark")


def test_backend_errors_are_scenario_errors():
    class Broken:
        def write(self, data):
            raise BackendError("the guest is gone")

    with pytest.raises(ScenarioError, match="true: the guest is gone"):
        Worker(Broken()).run(["true"])
