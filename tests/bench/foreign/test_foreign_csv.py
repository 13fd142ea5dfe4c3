"""CSV files as people and programs write them, whole and damaged: a table, or an error with file and row."""

from __future__ import annotations

import io
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.foreign import ForeignError, judge_frame, judge_table
from bench.foreign.delimited import read
from tests.bench.foreign.foreign_samples import samples

HEAD = "metric,system,session,block,value,better\n"
ROW = "cpu,host,1,1,12.5,lower\n"


def table(text: str | bytes):
    return read(text if isinstance(text, bytes) else text.encode(), "t.csv")


def written(frame: pd.DataFrame, **options) -> bytes:
    return frame.to_csv(index=False, **options).encode()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_every_dialect_gives_the_same_verdict_as_the_frame(separator: str, end: str, mark: bytes):
    frame = samples({"host": 0.0, "box": -0.05})
    data = mark + written(frame, sep=separator, lineterminator=end)
    assert judge_table(table(data), "host", 0.99, 0.05) == judge_frame(frame)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas_beside_semicolons_or_tabs_are_read_as_spreadsheets_write_them(separator: str):
    frame = samples({"host": 0.0, "box": -0.05})
    data = written(frame, sep=separator, decimal=",")
    assert b"," in data
    assert judge_table(table(data), "host", 0.99, 0.05) == judge_frame(frame)
    rows = [["m", "host", "", "", one, "lower"] for one in (" 1,5e-3 ", "2")]
    text = HEAD.replace(",", separator) + "".join(separator.join(row) + "\n" for row in rows)
    assert table(text).frame["value"].tolist() == [1.5e-3, 2.0]


def test_columns_in_any_order_quoted_and_with_unknown_ones_beside():
    text = '"Better", Value ,note,SYSTEM,metric\n'
    text += 'lower,1e-3,"a, b\nand ""c""",host,"load, all"\nLOWER, 2 ,,host,x\n'
    found = table(text).frame
    assert found["metric"].tolist() == ["load, all", "x"]
    assert found["value"].tolist() == [1e-3, 2.0]
    assert found["better"].tolist() == ["lower", "lower"]
    assert set(found["session"]) == set(found["block"]) == {""}
    assert found["row"].tolist() == [2, 3]


def test_blank_lines_count_as_rows_and_say_nothing():
    found = table(f"\n{HEAD}\n{ROW}  \n{ROW}").frame
    assert found["row"].tolist() == [4, 6]


def test_an_empty_value_is_not_a_number_and_its_row_is_named():
    rows = "".join(
        f"m,{one},{k},,{'' if (one, k) == ('box', 3) else 5},lower\n"
        for k in range(5)
        for one in ("host", "box")
    )
    (found,) = judge_table(table(HEAD + rows), "host", 0.99, 0.05)
    assert found.verdict == "inconclusive"
    assert "1 value of box unfit for a ratio (t.csv: row 9 is not a number)" in found.reason


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD, r"^t\.csv: "),
        (HEAD + ROW + "cpu,host,1,2,1", r"t\.csv: row 3: \D*5\D+6\b"),
        (HEAD + ROW + "cpu,host,1,2,1.5,low", r"t\.csv: row 3: .*\bbetter\b.*'low'"),
        (HEAD + ROW + 'cpu,"host,1,2,1.5,lower\n', r"t\.csv: row 3: .*unexpected end of data"),
        (HEAD + ROW + "a,b,c,d,1,lower,7\n", r"t\.csv: row 3: \D*7\D+6\b"),
        (HEAD + "cpu,host,1,1,fast,lower\n", r"t\.csv: row 2: .*'fast'"),
        (HEAD + "cpu,host,1,1,0x10,lower\n", r"t\.csv: row 2: .*'0x10'"),
        (HEAD + 'cpu,host,1,1,"1,5",lower\n', r"t\.csv: row 2: .*'1,5'"),
        (HEAD + "cpu,,1,1,1,lower\n", r"t\.csv: row 2: .*\bsystem\b"),
        ("metric,system,value,value,better\n", r"t\.csv: row 1: .*\bvalue\b"),
        ("metric,system,value\na,b,1\n", r"t\.csv: row 1: .*\bbetter\b.*metric, system, value\)"),
        ("hello world\n", r"t\.csv: row 1: .*metric, system, value, better\b.*hello world\)"),
        (b"metric,system\xe9,value,better\n", r"t\.csv: row 1: .*UTF-8.*\b13\b"),
        ((HEAD + ROW).encode() + b"cpu,h\xf6st,1,1,1,lower\n", r"t\.csv: row 3: .*UTF-8"),
        ((HEAD + ROW).encode("utf-16"), r"t\.csv: row 1: .*UTF-8.*\b0\b"),
        ((HEAD + ROW).encode("utf-16-le"), r"t\.csv: row 1: .*\bNUL\b.*UTF-16; .*UTF-8"),
        ((HEAD + ROW + "cpu\0,host,1,1,1,lower\n"), r"t\.csv: row 3: .*\bNUL\b"),
        (HEAD.replace(",", ";") + "m;h;1;1;1,5;lower\nm;h;2;1;1.5;lower\n", r"row 3: .*decimal point.*comma"),
        (HEAD.replace(",", ";") + "m;h;1;1;1,234,567;lower\n", r"t\.csv: row 2: .*'1,234,567'"),
        ("command,mean,stddev,median,user,system,min,max\n", r"t\.csv: hyperfine.*--export-json"),
        (HEAD + "x" * 200_000 + "\n", r"t\.csv: row 2: .*field larger than field limit"),
    ],
    ids=range(21),
)
def test_a_damaged_file_is_an_error_that_names_file_and_row(text: str | bytes, says: str):
    with pytest.raises(ForeignError, match=says):
        table(text)


def test_a_file_that_names_no_system_is_of_the_one_it_was_named():
    text = "metric,value,better\nm,1,lower\n"
    assert read(text.encode(), "t.csv", "old").systems == ["old"]
    with pytest.raises(ForeignError, match=r"\bsystem\b"):
        table(text)
    with pytest.raises(ForeignError, match=r"^t\.csv: .*="):
        read((HEAD + ROW).encode(), "t.csv", "old")


def test_numbers_of_any_size_are_judged_or_named_and_never_warned_about(recwarn):
    for big in (1e-320, 1e-200, 1e200, 1.7e308, "1e999", "-1e999"):
        rows = "".join(f"m,{one},{k},,{big},lower\n" for k in range(5) for one in ("host", "box", "box"))
        (found,) = judge_table(table(HEAD + rows), "host", 0.99, 0.05)
        fit = big in (1e-200, 1e200)
        assert (found.verdict == "supported") is fit
        assert ("unfit" in found.reason) is not fit
    assert not recwarn.list


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6).filter(
    lambda one: one.strip()
)
cells = st.one_of(
    st.floats(1e-9, 1e9), st.floats(), st.sampled_from(["", "nan", "-0", "1_0", "∞", '"', "1,2", "\x00", "١"])
)
frames = st.lists(
    st.tuples(
        names,
        st.sampled_from(["host", "box", "vm"]),
        st.sampled_from(["", "1", "2", "a"]),
        st.sampled_from(["", "7"]),
        cells,
        st.sampled_from(["lower", "higher", "Higher", "up"]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(frames, st.sampled_from([",", ";", "\t"]), st.integers(0, 400), st.binary(max_size=3))
def test_whatever_a_file_holds_it_is_judged_or_refused_by_name(rows, separator, cut, noise):
    """Rows of odd cells, cut off anywhere, with odd bytes put in there."""
    frame = pd.DataFrame(rows, columns=["metric", "system", "session", "block", "value", "better"])
    data = written(frame, sep=separator)
    try:
        found = judge_table(
            table(data[:cut] + noise + data[cut:] if cut % 2 else data[:cut] + noise), "host", 0.99, 0.05
        )
    except ForeignError as error:
        assert "t.csv" in str(error) or "in the samples" in str(error)
        return
    for row in found:
        assert row.reason
        assert all(number is None or math.isfinite(number) for number in (row.estimate, row.low, row.high))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=120))
def test_random_bytes_are_refused_by_name(data: bytes):
    with pytest.raises(ForeignError, match=r"t\.csv"):
        table(data)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=30))
def test_values_are_read_to_the_last_bit(values: list[float]):
    frame = pd.DataFrame({"metric": "m", "system": "host", "value": values, "better": "lower"})
    buffer = io.StringIO()
    frame.to_csv(buffer, index=False)
    assert np.array_equal(table(buffer.getvalue()).frame["value"].to_numpy(), np.array(values))
