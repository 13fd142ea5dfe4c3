"""Frames. Written by: api (attach, logs, exec, nn/run), cli/run_exchange. nn.c: test_nn_without_python.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.docker_syntax.frames import (
    END,
    HEAD_SIZE,
    RESIZE,
    SIGNAL,
    STDERR,
    STDIN,
    STDOUT,
    FrameReader,
    frame,
)


@given(
    st.lists(
        st.tuples(st.sampled_from([STDIN, STDOUT, STDERR, END, SIGNAL, RESIZE]), st.binary(max_size=20))
    ),
    st.integers(1, 30),
)
def test_frames_are_read_back_wherever_the_stream_is_cut(sent: list[tuple[int, bytes]], cut: int):
    stream = b"".join(frame(kind, payload) for kind, payload in sent)
    assert len(stream) == sum(HEAD_SIZE + len(payload) for _, payload in sent)
    reader, found = FrameReader(), [(-1, b"")]
    for at in range(0, len(stream), cut):
        for kind, piece, ended in reader.split(stream[at : at + cut]):
            _, before = found.pop()
            found.append((kind, before + bytes(piece)))
            if ended:
                found.append((-1, b""))
    assert found[:-1] == sent
