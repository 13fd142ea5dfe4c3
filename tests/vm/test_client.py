import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vm.errors import GuestError, GuestTimeoutError, VmError
from vm.framing import HEADER, WINDOW, Frame, Type
from vm.testing import FakeGuest

PROGRAMS = {
    "true": lambda program: None,
    "false": lambda program: program.exit(1),
    "echo": lambda program: program.say(" ".join(program.argv[1:]).encode()),
    "warn": lambda program: program.say(b"oh", stderr=True),
    "cat&": lambda program: None,
    "sleep&": lambda program: setattr(program, "ends_with_input", False),
    "flood": lambda program: program.say(b"y" * 200_000),
}


@pytest.fixture
def guest():
    return FakeGuest(PROGRAMS)


@pytest.fixture
def client(guest):
    client = guest.connect()
    yield client
    client.close()


def in_time(error):
    return not isinstance(error, GuestTimeoutError)


def run(client, *argv, stdin=b"", timeout_s=10.0):
    exit_, out, err = client.communicate(client.spawn(argv), stdin, timeout_s)
    return exit_.code, out, err


def test_output_error_output_and_code_come_back(client):
    assert run(client, "echo", "a", "b") == (0, b"a b", b"")
    assert run(client, "warn") == (0, b"", b"oh")
    assert run(client, "false") == (1, b"", b"")


def test_first_output_is_stamped_by_the_host_and_before_the_end(client):
    stream = client.spawn(["echo", "x"])
    first = client.wait_first_output(stream, 5)
    client.wait_exit(stream, 5)
    assert first <= stream.end_ns


def test_a_silent_program_has_no_first_output(client):
    with pytest.raises(GuestError, match="true in fake", check=in_time):
        client.wait_first_output(client.spawn(["true"]), 5)


def test_a_program_that_is_not_there_is_an_error_that_names_it(client):
    with pytest.raises(GuestError, match="nonesuch in fake: No such file or directory"):
        run(client, "nonesuch")


def test_input_longer_than_the_window_arrives_whole(client, guest):
    data = bytes(range(256)) * 4096
    assert len(data) > WINDOW
    assert run(client, "cat", stdin=data)[0] == 0
    assert bytes(guest.spawned[1].received) == data


def test_taken_output_is_granted_back_in_large_steps(client, guest):
    assert len(run(client, "flood")[1]) == 200_000
    assert [f for f in guest.frames if f.type is Type.GRANT] in ([], guest.frames[-1:])


def test_a_program_that_does_not_end_is_killed(client, guest):
    with pytest.raises(GuestTimeoutError, match=r"^sleep in fake: (?!.*\bconsole\b).*0\.05 s"):
        run(client, "sleep", timeout_s=0.05)
    assert guest.spawned[1].signals == [9]


def test_a_guest_that_hangs_is_distinguished_from_a_program_that_does(monkeypatch):
    monkeypatch.setattr("vm.client.ANSWER_S", 0.05)
    goes_on = threading.Event()
    client = FakeGuest({"hang": lambda program: goes_on.wait()}).connect()
    with pytest.raises(GuestTimeoutError, match=r"^hang in fake: .*0\.05 s.*\bconsole\b"):
        run(client, "hang", timeout_s=0.05)
    goes_on.set()
    client.close()


def test_a_timeout_of_zero_takes_what_has_come_and_never_waits(client, guest):
    stream = client.spawn(["cat"])
    client.ping()
    with pytest.raises(GuestTimeoutError):
        client.read(stream, 0.0)
    guest.spawned[1].say(b"here")
    assert client.read(stream, 0.0) == b"here"


def test_two_programs_do_not_mix(client):
    first, second = client.spawn(["echo", "one"]), client.spawn(["echo", "two"])
    assert client.communicate(second, b"", 5)[1] == b"two"
    assert client.communicate(first, b"", 5)[1] == b"one"


def test_many_threads_share_one_link(client):
    results: dict[int, bytes] = {}

    def work(index):
        results[index] = run(client, "echo", str(index))[1]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results == {i: str(i).encode() for i in range(20)}


def test_a_guest_that_goes_away_ends_every_wait(client, guest):
    stream = client.spawn(["cat"])
    guest.hang_up()
    with pytest.raises(GuestError, match="in fake", check=in_time):
        client.wait_exit(stream, 10)


def test_a_guest_that_starts_anew_ends_what_ran_in_it(guest, client):
    client.wait_hello(5)
    stream = client.spawn(["sleep"])
    guest.programs["reboot&"] = lambda program: guest.say_hello()
    client.wait_hello_again(["reboot"], 10)
    assert client.wait_exit(stream, 1).code == 137
    assert run(client, "echo", "up") == (0, b"up", b"")


def test_a_broken_stream_is_reported_once_and_never_read_on(client, guest):
    client.wait_hello(5)
    guest.send_bytes(b"\0" * 64)
    with pytest.raises(GuestError, match=bytes(HEADER.size).hex()):
        client.wait_exit(client.spawn(["cat"]), 10)
    with pytest.raises(GuestError, match=bytes(HEADER.size).hex()):
        client.ping(1)


def test_no_hello_is_a_timeout_with_the_consoles_last_words():
    client = FakeGuest(hello=False).connect()
    with pytest.raises(GuestTimeoutError, match=r"\bin fake: .*0\.1 s.*\bconsole\b"):
        client.wait_hello(0.1)
    client.close()


def test_ping_brings_the_guests_clocks(client):
    sent, boot, wall, received = client.ping()
    assert sent <= boot <= received  # the fake guest's boot clock is the host's
    assert wall > 0


def test_wake_carries_the_time_and_fresh_randomness(client, guest):
    client.ping(wake=True)
    client.ping(wake=True)
    first, second = (f.body for f in guest.frames if f.type is Type.WAKE)
    assert len(first) == 40
    assert first[8:] != second[8:]


def test_arguments_too_long_for_a_frame_are_refused(client):
    with pytest.raises(VmError, match="standard input"):
        client.spawn(["echo", "x" * 70_000])


def test_a_late_frame_of_a_forgotten_program_is_ignored(client, guest):
    assert run(client, "true")[0] == 0
    guest.send(Frame(Type.STDOUT, 1, b"ghost"))
    assert run(client, "echo", "x")[1] == b"x"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=5000)), max_size=8))
def test_streams_keep_their_order_and_their_side(parts):
    def handler(program):
        for stderr, data in parts:
            program.say(data, stderr)

    client = FakeGuest({"print": handler}).connect()
    _, out, err = run(client, "print")
    client.close()
    assert out == b"".join(data for stderr, data in parts if not stderr)
    assert err == b"".join(data for stderr, data in parts if stderr)
