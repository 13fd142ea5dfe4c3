import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vm.errors import GuestError, VmError
from vm.framing import HEADER, MAX_PAYLOAD, Decoder, Frame, Type, encode, exit_of, number, numbers, spawn_body

FRAMES = st.lists(
    st.builds(Frame, st.sampled_from(list(Type)), st.integers(0, 2**32 - 1), st.binary(max_size=300)),
    max_size=8,
)


@given(FRAMES, st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_frames_survive_any_cutting(frames, cuts):
    stream = b"".join(map(encode, frames))
    decoder, found, at, turn = Decoder(), [], 0, 0
    while at < len(stream):
        step = cuts[turn % len(cuts)]
        found += decoder.feed(stream[at : at + step])
        at, turn = at + step, turn + 1
    assert found == frames


@given(st.binary(min_size=HEADER.size, max_size=64))
def test_garbage_is_refused_or_decoded_never_lost_silently(data):
    try:
        frames = list(Decoder().feed(data))
    except GuestError as error:
        assert re.search(rf"\b[0-9a-f]{{{2 * HEADER.size}}}\b", str(error))
    else:
        assert data.startswith(b"".join(map(encode, frames)))


def test_a_frame_holds_exactly_the_greatest_payload():
    body = b"x" * MAX_PAYLOAD
    assert list(Decoder().feed(encode(Frame(Type.STDIN, 1, body)))) == [Frame(Type.STDIN, 1, body)]
    with pytest.raises(VmError, match=r"\b65537\b"):
        encode(Frame(Type.STDIN, 1, body + b"x"))


def test_frames_before_a_broken_one_are_still_delivered():
    good = Frame(Type.STDOUT, 7, b"last words")
    found = []
    with pytest.raises(GuestError):
        found.extend(Decoder().feed(encode(good) + b"\0" * HEADER.size))
    assert found == [good]


def test_spawn_body_holds_counts_directory_arguments_and_environment():
    assert spawn_body(["ls", "-l"], {"A": "b"}, "/tmp") == b"\2\0\1\0/tmp\0ls\0-l\0A=b\0"


@pytest.mark.parametrize("argv", [[], ["a\0b"]])
def test_impossible_arguments_are_refused(argv):
    with pytest.raises(VmError):
        spawn_body(argv)


def test_bodies_of_answers():
    assert number(b"\2\0\0\0") == 2
    assert numbers(b"\1" + b"\0" * 7 + b"\xff" * 8) == (1, -1)
    exit_ = exit_of(b"\x89\0\0\0" + b"\0" * 4 + b"\5" + b"\0" * 7 + b"\7" + b"\0" * 7)
    assert (exit_.code, exit_.started_ns, exit_.ended_ns) == (137, 5, 7)
