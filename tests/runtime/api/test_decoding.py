from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.api.http.decoding import decode_body, decode_query
from runtime.api.http.errors import ApiError
from runtime.api.http.versions import NEWEST, split_path
from runtime.engine.errors import BadParameterError
from runtime.engine.service.model.request import Config, CreateRequest, HostConfig, MountRequest, Query

JSON = "application/json"


class Asked(Query):
    yes: bool = False
    number: int = 7
    text: str = "default"
    many: list[str] = msgspec.field(default_factory=list)
    filters: dict[str, list[str]] = msgspec.field(default_factory=dict)
    buildargs: dict[str, str] = msgspec.field(default_factory=dict)
    maybe: int | None = None


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("true", True), ("True", True), ("yes", True), ("anything", True),
     ("0", False), ("false", False), ("False", False), ("no", False), ("none", False), ("", False)],
)  # fmt: skip
def test_bools_have_dockers_spellings(text: str, value: bool):
    found = decode_query(Asked, {"yes": [text]})
    assert found == Asked(yes=value)


def test_a_query_takes_each_form():
    parameters = {"number": ["-1"], "text": [""], "many": ["a", "b"], "maybe": ["3"], "unknown": ["x"]}
    assert decode_query(Asked, parameters) == Asked(number=-1, text="", many=["a", "b"], maybe=3)
    assert decode_query(Asked, {"number": [""], "maybe": [""]}) == Asked()
    filters = {"filters": ['{"label": {"a=b": true}, "name": ["x"]}']}
    assert decode_query(Asked, filters) == Asked(filters={"label": ["a=b"], "name": ["x"]})


@pytest.mark.parametrize("name", ["filters", "buildargs"])
def test_null_in_a_query_is_nothing_given(name: str):
    assert decode_query(Asked, {name: ["null"]}) == Asked()


@pytest.mark.parametrize("parameters", [{"number": ["x"]}, {"filters": ["{"]}, {"filters": ["[1]"]}])
def test_a_wrong_query_is_refused_by_name(parameters: dict[str, list[str]]):
    with pytest.raises(BadParameterError, match=r"number|filters"):
        decode_query(Asked, parameters)


@pytest.mark.parametrize(
    ("data", "media", "message"),
    [
        (b"", JSON, "got EOF"),
        (b"{", JSON, "invalid JSON"),
        (b"[]", JSON, "invalid JSON"),
        (b'{"Tty": "yes"}', JSON, r"invalid JSON.*Tty"),
        (b"{}", "text/plain", "must be 'application/json'"),
        (b"{}", "", r"malformed Content-Type header \(\)"),
    ],
)
def test_a_wrong_body_is_refused_in_dockers_words(data: bytes, media: str, message: str):
    with pytest.raises(BadParameterError, match=message):
        decode_body(data, CreateRequest, media)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{invalid json", "invalid JSON: invalid character 'i' looking for beginning of object key string"),
        (b'{"a": 1,}', "invalid JSON: invalid character '}' looking for beginning of object key string"),
        (b"x", "invalid JSON: invalid character 'x' looking for beginning of value"),
        (b"[,]", "invalid JSON: invalid character ',' looking for beginning of value"),
        (b"[1,]", "invalid JSON: invalid character ']' looking for beginning of value"),
        (b"{\"a\": 'b'}", r"invalid JSON: invalid character '\'' looking for beginning of value"),
        (b'{"a" 1}', "invalid JSON: invalid character '1' after object key"),
        (b'{"a": 1 "b": 2}', "invalid JSON: invalid character '\"' after object key:value pair"),
        (b"[1 2]", "invalid JSON: invalid character '2' after array element"),
        (b'{"a": "\n"}', r"invalid JSON: invalid character '\n' in string literal"),
        (b'{"Image": "a"', "invalid JSON: unexpected EOF"),
        (b"{} trailing", "unexpected content after JSON"),
        (b"{}{}", "unexpected content after JSON"),
        (b'{"image": "a"} {}', "unexpected content after JSON"),
    ],
)
def test_what_is_not_json_is_refused_in_the_words_of_go(data: bytes, message: str):
    with pytest.raises(BadParameterError) as raised:
        decode_body(data, CreateRequest, JSON)
    assert str(raised.value) == message


def test_null_leaves_a_field_as_it_is():
    sent = {
        "Image": "a",
        "Tty": None,
        "Cmd": None,
        "HostConfig": {"AutoRemove": None, "LogConfig": None, "Mounts": [{"Type": None, "Target": "/x"}]},
    }
    found = decode_body(json.dumps(sent).encode(), CreateRequest, f"{JSON}; charset=utf-8")
    assert (found.image, found.tty, found.cmd) == ("a", False, None)
    assert found.host_config is not None
    assert not found.host_config.auto_remove
    assert found.host_config.mounts is not None
    assert found.host_config.mounts[0].type == "volume"


def test_null_in_a_map_or_a_list_is_an_empty_value():
    sent = b'{"Labels": {"a": null, "b": "c"}, "Cmd": ["x", null], "HostConfig": {"Mounts": [null]}}'
    found = decode_body(sent, CreateRequest, JSON)
    assert (found.labels, found.cmd) == ({"a": "", "b": "c"}, ["x", ""])
    assert found.host_config == HostConfig(mounts=[MountRequest()])


def test_a_name_may_have_any_case_but_those_of_maps_stay():
    sent = b'{"image": "a", "HOSTCONFIG": {"autoRemove": true}, "Labels": {"image": "b", "IMAGE": "c"}}'
    found = decode_body(sent, CreateRequest, JSON)
    assert (found.image, found.labels) == ("a", {"image": "b", "IMAGE": "c"})
    assert found.host_config is not None
    assert found.host_config.auto_remove


@pytest.mark.parametrize("name", ["TmpFs", "TMPFS", "tmpfs"])
def test_a_name_in_another_case_is_known_wherever_it_stands(name: str):
    sent = json.dumps({"Image": "a", "HostConfig": {name: {"/t": "rw"}}}).encode()
    assert decode_body(sent, CreateRequest, JSON).host_config == HostConfig(tmpfs={"/t": "rw"})


def test_a_body_of_ten_thousand_levels_is_refused():
    for deep in (b'{"Labels":' * 10_000, b'{"Labels": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"):
        with pytest.raises(BadParameterError, match="invalid JSON"):
            decode_body(deep, CreateRequest, JSON)
    for name in ("filters", "buildargs"):
        with pytest.raises(BadParameterError, match=name):
            decode_query(Asked, {name: ["[" * 10_000 + "]" * 10_000]})


_FIELDS = {field.encode_name for field in msgspec.structs.fields(Config)}


@given(st.dictionaries(st.sampled_from(sorted(_FIELDS)), st.none()))
def test_any_field_may_be_null(document: dict[str, Any]):
    assert decode_body(json.dumps(document).encode(), Config, JSON) == Config()


@given(st.binary(max_size=60))
def test_no_body_is_more_than_wrong(data: bytes):
    try:
        decode_body(data, CreateRequest, JSON)
    except BadParameterError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("path", "version", "rest"),
    [
        ("/_ping", NEWEST, "/_ping"),
        ("/v1.24/info", (1, 24), "/info"),
        ("/v1.45/containers/json", (1, 45), "/containers/json"),
        ("/v1.45", NEWEST, "/v1.45"),
    ],
)
def test_the_version_stands_before_the_path(path: str, version: tuple[int, int], rest: str):
    assert split_path(path) == (version, rest)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1.99/info", "client version 1.99 is too new. Maximum supported API version is"),
        ("/v1.12/info", "client version 1.12 is too old. Minimum supported API version is 1.24, please"),
    ],
)
def test_other_versions_are_refused_in_dockers_words(path: str, message: str):
    with pytest.raises(ApiError, match=message) as raised:
        split_path(path)
    assert raised.value.status == 400
