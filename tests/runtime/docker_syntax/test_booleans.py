"""Booleans. `parse`: cli/flags, api/daemon/flags, log_options, network options, security options.

`of_filter`: engine/service/filters, image/listing, api/routes/registries. `of_query`: api/http/decoding.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.docker_syntax import MalformedError, booleans


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_gos_words_for_true(text: str):
    assert booleans.parse(text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "FALSE", "False"])
def test_gos_words_for_false(text: str):
    assert booleans.parse(text) is False


@pytest.mark.parametrize("text", ["", "yes", "no", "on", "off", "tRUE", "2", " true"])
def test_no_other_words_are_known(text: str):
    with pytest.raises(MalformedError) as caught:
        booleans.parse(text)
    assert str(caught.value) == f'strconv.ParseBool: parsing "{text}": invalid syntax'


@pytest.mark.parametrize(
    ("values", "wanted"),
    [(["1"], True), (["true"], True), (["1", "true"], True), (["0"], False), (["false", "0"], False)],
)
def test_a_filter_has_one_meaning(values: list[str], wanted: bool):
    assert booleans.of_filter("dangling", values) is wanted


@pytest.mark.parametrize("values", [[], ["True"], ["t"], ["1", "0"], ["true", "x"], [""]])
def test_a_filter_without_one_meaning_is_refused(values: list[str]):
    with pytest.raises(MalformedError, match="invalid filter 'dangling=\\["):
        booleans.of_filter("dangling", values)


@given(st.text(max_size=5))
def test_all_of_a_query_is_true_but_five_words(text: str):
    assert booleans.of_query(text) == (text.strip().lower() not in ("", "0", "no", "false", "none"))
