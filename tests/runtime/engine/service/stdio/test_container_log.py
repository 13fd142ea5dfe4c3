"""The log on disk and its reader: docker's format, rotation, and questions by tail, time and stream."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.docker_syntax.log_options import LogOptions
from runtime.engine.service.stdio import json_log, log_reader
from runtime.engine.service.stdio.json_log import JsonLog, entries
from runtime.engine.service.stdio.log_attributes import shown
from runtime.engine.service.stdio.log_reader import LogQuery, read_log
from tests.runtime.engine.service.stdio.stream_fakes import all_of, joined, read, settle

SECOND = 1_000_000_000


@settings(deadline=None)
@given(st.text(max_size=60))
def test_entries_are_json_lines_whatever_the_text(text: str):
    written = entries("stdout", text, "T").decode()
    found = [json.loads(line) for line in written.split("\n") if line]
    assert "".join(entry["log"] for entry in found) == text or not text
    assert all(entry["log"].count("\n") == entry["log"].endswith("\n") for entry in found)
    assert all(list(entry) == ["log", "stream", "time"] for entry in found)


def test_a_file_is_what_dockers_readers_expect(tmp_path: Path):
    log = JsonLog(tmp_path / "log.json", LogOptions())
    with mock.patch.object(json_log.time, "time_ns", lambda: 5):
        log.write(1, b'one "\\n" <&>\ntwo\n')
        log.write(2, b"\xff")
    log.close()
    assert [json.loads(line) for line in (tmp_path / "log.json").read_text().splitlines()] == [
        {"log": 'one "\\n" <&>\n', "stream": "stdout", "time": "1970-01-01T00:00:00.000000005Z"},
        {"log": "two\n", "stream": "stdout", "time": "1970-01-01T00:00:00.000000005Z"},
        {"log": "\ufffd", "stream": "stderr", "time": "1970-01-01T00:00:00.000000005Z"},
    ]


@settings(deadline=None)
@given(st.text(min_size=1, max_size=20), st.integers(1, 5))
def test_characters_may_be_cut_anywhere(text: str, size: int):
    data = text.encode("utf-8", "replace")
    with tempfile.TemporaryDirectory() as directory:
        log = JsonLog(Path(directory, "log.json"), LogOptions())
        for at in range(0, len(data), size):
            log.write(1, data[at : at + size])
        log.flush()
        assert joined(log) == data
        log.close()


lines = st.lists(st.tuples(st.sampled_from((1, 2)), st.text(alphabet='ab\\n"é', max_size=12)), max_size=30)


@settings(deadline=None)
@given(
    lines, st.integers(-1, 35), st.sampled_from((0, 60, 300)), st.integers(1, 4), st.sampled_from((64, 4096))
)
def test_the_last_lines_are_found_across_files(written, tail: int, most: int, files: int, block: int):
    """Whole lines of both streams; the reader's blocks may cut anywhere."""
    with tempfile.TemporaryDirectory() as directory, mock.patch.object(log_reader, "_BLOCK", block):
        log = JsonLog(Path(directory, "log.json"), LogOptions(max_bytes=most, max_files=files))
        for stream, text in written:
            log.write(stream, f"{text}\n".encode())
        log.close()
        kept = json_lines(Path(directory))
        if not most:
            assert len(kept) == len(written)
        expected = kept if tail < 0 else kept[len(kept) - min(tail, len(kept)) :]
        assert joined(log, tail=tail) == "".join(text for _, text in expected).encode()
        only_stderr = "".join(text for name, text in expected if name == "stderr").encode()
        assert joined(log, tail=tail, streams=frozenset((2,))) == only_stderr
        assert len(list(Path(directory).iterdir())) <= files


def json_lines(directory: Path) -> list[tuple[str, str]]:
    """All entries, oldest first, by the rule of the files' names alone."""
    paths = sorted(
        directory.iterdir(), key=lambda path: -int(path.suffix[1:]) if path.name != "log.json" else 0
    )
    found = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    return [(entry["stream"], entry["log"]) for entry in found]


def test_a_line_in_parts_is_one_line(tmp_path: Path):
    log = JsonLog(tmp_path / "log.json", LogOptions())
    with mock.patch.object(json_log.time, "time_ns", lambda: SECOND):
        for piece in (b"first\nsec", b"ond", b"\nthird"):
            log.write(1, piece)
    assert joined(log, tail=1) == b"third"
    assert joined(log, tail=2) == b"second\nthird"
    stamp = b"1970-01-01T00:00:01.000000000Z "
    assert joined(log, timestamps=True) == stamp + b"first\n" + stamp + b"second\n" + stamp + b"third"
    log.close()


chunks = st.lists(st.tuples(st.sampled_from((1, 2)), st.text(alphabet="ab\n", max_size=6)), max_size=20)


@settings(deadline=None)
@given(chunks, st.integers(-1, 12), st.sampled_from((16, 4096)))
def test_lines_written_bit_by_bit_are_not_torn_by_the_other_stream(written, tail: int, block: int):
    ended, rest = [], {1: "", 2: ""}
    with tempfile.TemporaryDirectory() as directory, mock.patch.object(log_reader, "_BLOCK", block):
        log = JsonLog(Path(directory, "log.json"), LogOptions())
        for stream, text in written:
            log.write(stream, text.encode())
            *whole, rest[stream] = (rest[stream] + text).split("\n")
            ended += [(stream, f"{line}\n") for line in whole]
        ended += [(stream, text) for stream, text in rest.items() if text]
        found = read(log)
        assert b"".join(data for _, data in found) == "".join(text for _, text in ended).encode()
        count = sum(1 for _, text in ended if text.endswith("\n"))
        if 0 <= tail <= count and not any(rest.values()):
            last = "".join(text for _, text in ended[len(ended) - tail :])
            assert joined(log, tail=tail) == last.encode()
        log.close()


def test_a_long_line_is_shown_before_its_end_and_headed_once(tmp_path: Path):
    log = JsonLog(tmp_path / "log.json", LogOptions())
    with mock.patch.object(json_log.time, "time_ns", lambda: SECOND):
        for _ in range(3):
            log.write(1, b"x" * 10_000)
            log.write(2, b"err\n")
        log.write(1, b"\n")
    stamp = b"1970-01-01T00:00:01.000000000Z "
    out = b"".join(data for stream, data in read(log, timestamps=True) if stream == 1)
    assert out == stamp + b"x" * 30_000 + b"\n"
    assert joined(log, tail=1) == b"x" * 10_000 + b"\n"
    log.close()


def test_what_the_options_choose_stands_beside_each_line(tmp_path: Path):
    attrs = {"a b": "1&2", "c": "3"}
    log = JsonLog(tmp_path / "log.json", LogOptions(), attrs)
    log.write(1, b"one\ntwo\n")
    first = json.loads((tmp_path / "log.json").read_text().splitlines()[0])
    assert (list(first), first["attrs"]) == (["log", "stream", "attrs", "time"], attrs)
    assert joined(log, details=shown(attrs)) == b"a+b=1%262,c=3 one\na+b=1%262,c=3 two\n"
    log.close()


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), max_size=12).map(sorted), st.integers(0, 6), st.integers(0, 6))
def test_times_bound_what_is_shown(times: list[int], since: int, until: int):
    with tempfile.TemporaryDirectory() as directory:
        log = JsonLog(Path(directory, "log.json"), LogOptions())
        for number, at in enumerate(times):
            with mock.patch.object(json_log.time, "time_ns", lambda at=at: at * SECOND):
                log.write(1, b"%d\n" % number)
        expected = [
            b"%d\n" % number for number, at in enumerate(times) if at >= since and (not until or at <= until)
        ]
        assert joined(log, since_ns=since * SECOND, until_ns=until * SECOND) == b"".join(expected)
        log.close()


def test_torn_entries_are_passed_over_and_writing_goes_on(tmp_path: Path):
    path = tmp_path / "log.json"
    path.write_bytes(entries("stdout", "before\n", "T") + b'{"log":"to')
    log = JsonLog(path, LogOptions())
    assert joined(log) == joined(log, tail=5) == b"before\n"
    log.write(1, b"after\n")
    assert joined(log) == b"before\nafter\n"
    assert joined(log, tail=1) == b"after\n"
    log.close()


def test_an_entry_larger_than_a_block_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_reader, "_BLOCK", 16)
    log = JsonLog(tmp_path / "log.json", LogOptions())
    log.write(1, b"x" * 1000 + b"\nshort\n")
    assert joined(log) == b"x" * 1000 + b"\nshort\n"
    assert joined(log, tail=2) == b"x" * 1000 + b"\nshort\n"
    assert joined(log, tail=1) == b"short\n"
    log.close()


def test_followers_see_everything_across_rotations(tmp_path: Path):
    async def main() -> bytes:
        log = JsonLog(tmp_path / "log.json", LogOptions(max_bytes=200, max_files=2))
        log.running = True
        log.write(1, b"start\n")
        follower = asyncio.ensure_future(all_of(read_log(log, LogQuery(follow=True))))
        for number in range(50):
            await settle()
            log.write(1, b"line %d\n" % number)
        log.flush()
        log.close()
        return (await follower)[1]

    expected = b"start\n" + b"".join(b"line %d\n" % number for number in range(50))
    assert asyncio.run(main()) == expected
    assert len(list(tmp_path.iterdir())) == 2


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("files", [1, 3])
def test_a_follower_that_is_behind_misses_nothing_and_nothing_is_kept_after_it(tmp_path: Path, files: int):
    async def main() -> list[bytes]:
        log = JsonLog(tmp_path / "log.json", LogOptions(max_bytes=200, max_files=files))
        log.running = True
        log.write(1, b"start\n")
        follower = read_log(log, LogQuery(follow=True))
        found = [(await anext(follower))[1]]
        before = open_files()
        for number in range(100):
            log.write(1, b"line %d\n" % number)
        assert open_files() > before + 10
        log.flush()
        found += [text async for _, text in follower]
        log.close()
        assert open_files() < before
        return found

    expected = b"start\n" + b"".join(b"line %d\n" % number for number in range(100))
    assert b"".join(asyncio.run(main())) == expected


def test_following_ends_when_the_time_is_over(tmp_path: Path):
    async def main() -> dict[int, bytes]:
        log = JsonLog(tmp_path / "log.json", LogOptions())
        log.running = True
        log.write(1, b"early\n")
        until = json_log.time.time_ns() + 10_000_000
        found = await all_of(read_log(log, LogQuery(follow=True, until_ns=until)))
        log.close()
        return found

    assert asyncio.run(main()) == {1: b"early\n"}


def test_a_log_that_cannot_be_written_does_not_stop_the_program(tmp_path: Path, caplog):
    log = JsonLog(tmp_path / "missing" / "log.json", LogOptions())
    log.write(1, b"one\n")
    log.write(1, b"two\n")
    assert caplog.text.count("No such file") == 1
    (tmp_path / "missing").mkdir()
    log.write(1, b"three\n")
    assert joined(log) == b"three\n"
    log.close()
