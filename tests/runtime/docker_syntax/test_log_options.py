"""Log options. Read by: service/validate (create), service/settings (nnd's defaults), service/streams."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.docker_syntax import MalformedError
from runtime.docker_syntax.log_options import LogOptions, parse
from tests.runtime.docker_syntax.refused import LOG_OPTIONS

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


@pytest.mark.parametrize(("driver", "options", "wanted"), CASES)
def test_options_say_when_a_log_rotates(driver: str, options: dict[str, str], wanted: LogOptions | None):
    assert parse(driver, options) == wanted


@pytest.mark.parametrize(("driver", "options", "words"), LOG_OPTIONS)
def test_what_cannot_be_used_is_refused_in_dockerds_words(driver: str, options: dict[str, str], words: str):
    with pytest.raises(MalformedError) as caught:
        parse(driver, options)
    assert str(caught.value) == words


@pytest.mark.parametrize("name", ["labels-regex", "env-regex"])
def test_a_pattern_is_compiled_before_a_container_is_made(name: str):
    with pytest.raises(MalformedError, match=rf"\b{name}: '\('"):
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
