import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.scenarios import parsers
from bench.scenarios.tool import ParseError, positive


def recorded(name):
    return (Path(__file__).parent / "recorded" / f"{name}.txt").read_text()


def test_sysbench_cpu():
    assert parsers.sysbench_events(recorded("sysbench-cpu")) == pytest.approx(4300, rel=0.5)


def test_sysbench_memory():
    text = recorded("sysbench-memory")
    assert f"({parsers.sysbench_memory(text):.2f} MiB/sec)" in text


def test_stress_ng_has_a_rate_by_real_time_and_one_by_cpu_time():
    assert parsers.stress_ng_rate(recorded("stress-ng")) == 1132.577824
    assert parsers.stress_ng_cpu_rate(recorded("stress-ng")) == 1146.030356


def test_dd_counts_blocks_by_its_own_clock():
    text = "150000 bytes (150 kB, 146 KiB) copied, 0.0750000 s, 2.0 MB/s\n"
    assert parsers.dd_blocks(text, block_bytes=1) == pytest.approx(2_000_000)
    assert parsers.dd_blocks(recorded("dd"), block_bytes=1) > 100_000


def test_openssl_proves_its_work_by_a_key():
    assert parsers.derived_key(recorded("openssl-kdf")).count(":") == 31
    with pytest.raises(ParseError, match="openssl kdf"):
        parsers.derived_key("kdf: unknown option\n")


def test_iperf3_is_the_receivers_figure():
    tree = parsers.json_object(recorded("iperf3"))
    assert parsers.iperf3_received(recorded("iperf3")) == tree["end"]["sum_received"]["bits_per_second"]


def test_iperf3_error_is_reported_in_its_words():
    with pytest.raises(ParseError, match=r"iperf3.*unable to receive control message"):
        parsers.iperf3_received(recorded("iperf3-error"))


def test_fio_rate_is_the_inverse_of_the_mean_latency():
    jobs = parsers.fio_jobs("fio: a note on standard error\n" + recorded("fio"))
    rate = parsers.fio_rate(jobs, "rand", "read")
    assert rate == pytest.approx(1e9 / jobs["rand"]["read"]["lat_ns"]["mean"])
    assert rate >= jobs["rand"]["read"]["iops"]


def test_fio_job_with_an_error_is_refused():
    with pytest.raises(ParseError, match=r"\brand\b.*\b22\b"):
        parsers.fio_jobs('{"jobs": [{"jobname": "rand", "error": 22}]}')


def test_our_own_programs():
    assert parsers.number(parsers.json_object(recorded("chase")), "ns_per_step") > 1
    assert parsers.number(parsers.json_object(recorded("fault")), "faults_per_s") > 1000
    pingpong = parsers.json_object(recorded("pingpong"))
    assert parsers.number(pingpong, "p50_ns") <= parsers.number(pingpong, "p99_ns")


@pytest.mark.parametrize("tree", [{}, {"a": []}, {"a": {"b": "x"}}, {"a": {"b": True}}, {"a": {"b": 0}}])
def test_number_names_the_path_that_is_wrong(tree):
    with pytest.raises(ParseError, match=r"a\.b"):
        parsers.number(tree, "a", "b")


PARSERS = (
    parsers.sysbench_events,
    parsers.sysbench_memory,
    parsers.stress_ng_rate,
    parsers.stress_ng_cpu_rate,
    lambda text: parsers.dd_blocks(text, 1),
    parsers.iperf3_received,
    lambda text: parsers.fio_rate(parsers.fio_jobs(text), "seq", "write"),
)
RECORDED = ("sysbench-cpu", "sysbench-memory", "stress-ng", "stress-ng", "dd", "iperf3", "fio")


@pytest.mark.parametrize("parse", PARSERS)
@given(text=st.text())
def test_any_text_gives_a_parse_error(parse, text):
    with pytest.raises(ParseError):
        parse(text)


@pytest.mark.parametrize(("parse", "name"), list(zip(PARSERS, RECORDED, strict=True)))
@given(data=st.data())
def test_a_cut_output_gives_the_whole_figure_or_none(parse, name, data):
    text = recorded(name)
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    with contextlib.suppress(ParseError):
        assert parse(cut) == parse(text)


@given(st.floats())
def test_only_finite_numbers_above_zero_are_figures(value):
    if 0 < value < float("inf"):
        assert positive(value, "it") == value
    else:
        with pytest.raises(ParseError, match=rf"\bit\b.*{re.escape(str(value))}"):
            positive(value, "it")
