"""Log options. Read by: service/validate (create), service/settings (nnd's defaults), service/streams."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.docker_syntax import MalformedError
from runtime.docker_syntax.log_options import LogOptions, parse

CASES = [
    ("", {}, LogOptions()),
    ("json-file", {"max-size": "10m", "max-file": "3"}, LogOptions(10_000_000, 3)),
    ("json-file", {"max-size": "1.5kb", "tag": "x"}, LogOptions(1500)),
    ("json-file", {"max-size": "1 m", "max-file": "+2", "compress": "true"}, LogOptions(1_000_000, 2)),
    ("json-file", {"max-size": "-1"}, LogOptions()),
    ("json-file", {"labels": "a,b", "env": "C", "labels-regex": "^x", "env-regex": ""}, LogOptions()),
    ("json-file", {"mode": "non-blocking", "max-buffer-size": "4m"}, LogOptions()),
    ("local", {}, LogOptions(20_000_000, 5)),
    ("local", {"max-size": "1k", "max-file": "1"}, LogOptions(1000, 1)),
    ("none", {"anything": "goes"}, None),
]
REFUSED = [
    ("json-file", {"max-size": "0"}, "max-size must be a positive number"),
    ("json-file", {"max-size": "0.1b"}, "max-size must be a positive number"),
    ("json-file", {"max-size": "much"}, "invalid size: 'much'"),
    ("json-file", {"max-size": ""}, "invalid size: ''"),
    ("json-file", {"max-size": "-5"}, "invalid size: '-5'"),
    ("json-file", {"max-file": "0"}, "max-file cannot be less than 1"),
    ("json-file", {"max-file": "-2"}, "max-file cannot be less than 1"),
    ("json-file", {"max-file": "x"}, 'strconv.Atoi: parsing "x": invalid syntax'),
    ("json-file", {"compress": "yes"}, 'strconv.ParseBool: parsing "yes": invalid syntax'),
    ("json-file", {"compress": "true"},
     "compress cannot be true when max-file is less than 2 or max-size is not set"),
    ("json-file", {"mode": "x"}, "logger: logging mode not supported: x"),
    ("json-file", {"max-buffer-size": "1m"},
     "logger: max-buffer-size option is only supported with 'mode=non-blocking'"),
    ("json-file", {"mode": "non-blocking", "max-buffer-size": "x"},
     "error parsing option max-buffer-size: invalid size: 'x'"),
    ("json-file", {"size": "1"}, "unknown log opt 'size' for json-file log driver"),
    ("local", {"size": "1"}, "unknown log opt 'size' for log driver local"),
    ("bogus", {}, 'error looking up logging plugin bogus: plugin "bogus" not found'),
]  # fmt: skip
"""In dockerd's own words; test_refusals_beside_dockerd.py asks it."""


@pytest.mark.parametrize(("driver", "options", "wanted"), CASES)
def test_options_say_when_a_log_rotates(driver: str, options: dict[str, str], wanted: LogOptions | None):
    assert parse(driver, options) == wanted


@pytest.mark.parametrize(("driver", "options", "words"), REFUSED)
def test_what_cannot_be_used_is_refused_in_dockerds_words(driver: str, options: dict[str, str], words: str):
    with pytest.raises(MalformedError) as caught:
        parse(driver, options)
    assert str(caught.value) == words


@pytest.mark.parametrize("name", ["labels-regex", "env-regex"])
def test_a_pattern_is_compiled_before_a_container_is_made(name: str):
    with pytest.raises(MalformedError, match=f"log opt {name}: '\\(' is not a regular expression"):
        parse("json-file", {name: "("})


@given(
    st.sampled_from(["", "json-file", "local", "none"]),
    st.dictionaries(st.sampled_from(["max-size", "max-file", "compress", "mode", "env-regex"]), st.text()),
)
def test_any_options_are_usable_or_refused(driver: str, options: dict[str, str]):
    try:
        found = parse(driver, options)
    except MalformedError:
        return
    assert found is None or (found.max_bytes >= 0 and found.max_files >= 1)
