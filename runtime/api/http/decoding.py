"""Decode queries and bodies of requests into structs, exactly as lenient as dockerd.

Go's JSON decoder leaves a field at its zero value where the client sent null, so clients send null for what
they do not set; and it accepts a field's name in any case (docker-py sends `detachKeys`). A body is decoded
strictly first; only one that fails, or has a name in another case, is converted field by field. So the usual
request costs next to nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from runtime.api.http.json_errors import is_only_trailing, wording
from runtime.docker_syntax import booleans
from runtime.engine.errors import BadParameterError
from runtime.engine.service.model.filters import parse_filters
from runtime.engine.service.model.request import Query

T = TypeVar("T")

_BROKEN = (msgspec.MsgspecError, RecursionError, UnicodeError)
_NAME = re.compile(rb'"([A-Za-z]\w*)"\s*:')
_LONG = re.compile(rb"[:\[,]\s*-?\d{19}")
"""Matches numbers that may not fit in 64 bits."""
_ZEROS: tuple[tuple[type[inspect.Type], Any], ...] = ((inspect.StrType, ""), (inspect.StructType, {}))
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


def decode_query(kind: type[Query] | None, parameters: Mapping[str, Sequence[str]]) -> Query | None:
    """Make a query struct of the parameters behind the `?`. Raises BadParameterError."""
    if kind is None:
        return None
    found: dict[str, Any] = {}
    for name, form in _forms(kind).items():
        values = parameters.get(name)
        if values is None:
            continue
        if form is list:
            found[name] = list(values)
        elif form is bool:
            found[name] = booleans.of_query(values[0])
        elif form is dict:
            document = _json_value(name, values[0]) if values[0] else None
            if document is not None:  # Go's SDK sends null for a map that is not set
                found[name] = document
        elif values[0] or form is str:
            found[name] = values[0]
            if form is object and len(values[0]) > len(str(_LEAST)):
                raise BadParameterError(f"invalid query: {name} is out of range")
    try:
        return msgspec.convert(found, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadParameterError(f"invalid query: {error}") from error


def decode_body(data: bytes, kind: type[T], media: str) -> T:
    """Make a struct of a JSON body. Raises BadParameterError with dockerd's messages."""
    if data and not media:
        raise BadParameterError("malformed Content-Type header (): it is missing; send 'application/json'")
    if media and media.partition(";")[0].strip().lower() != "application/json":
        raise BadParameterError(f"unsupported Content-Type header ({media}): must be 'application/json'")
    if not data.strip():
        raise BadParameterError("invalid JSON: got EOF while reading request body")
    if _is_unusual(data, kind):
        return _decode_as_go_does(data, kind)
    try:
        found: T = _decoder(kind).decode(data)  # type: ignore[arg-type]
        return found
    except msgspec.ValidationError:
        return _decode_as_go_does(data, kind)
    except _BROKEN as error:
        raise _refusal(error, data) from error


def _is_unusual(data: bytes, kind: type) -> bool:
    known, folded = _names(kind)
    strange = set(_NAME.findall(data)) - known
    return any(name.lower() in folded for name in strange) or bool(_LONG.search(data))


def _refusal(error: Exception, data: bytes) -> BadParameterError:
    if is_only_trailing(error):
        return BadParameterError("unexpected content after JSON")
    return BadParameterError(f"invalid JSON: {wording(error, data)}")


def _decode_as_go_does(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.convert(as_go_does(msgspec.json.decode(data), _type_info(kind)), kind)  # type: ignore[arg-type]
    except _BROKEN as error:
        raise _refusal(error, data) from error


def as_go_does(value: Any, info: inspect.Type) -> Any:
    """Drop each null that its field does not accept, and correct the case of field names.

    In a map or a list such a null becomes the zero value of its type: "" for a label.
    """
    options = info.types if isinstance(info, inspect.UnionType) else (info,)
    if isinstance(value, dict):
        for option in options:
            if isinstance(option, inspect.StructType):
                return _fields_of(value, option)
            if isinstance(option, inspect.DictType):
                return {name: _element(one, option.value_type) for name, one in value.items()}
    if isinstance(value, list):
        for option in options:
            if isinstance(option, inspect.ListType | inspect.VarTupleType):
                return [_element(one, option.item_type) for one in value]
    if isinstance(value, int) and not _LEAST <= value <= _MOST:
        raise BadParameterError(f"invalid JSON: {value} is out of range")
    return value


def _element(value: Any, info: inspect.Type) -> Any:
    if value is not None or _takes_null(info):
        return as_go_does(value, info)
    options = info.types if isinstance(info, inspect.UnionType) else (info,)
    return next((zero for kind, zero in _ZEROS if isinstance(options[0], kind)), None)


def _fields_of(value: dict[str, Any], info: inspect.StructType) -> dict[str, Any]:
    fields = {field.encode_name: field.type for field in info.fields}
    folded = {name.lower(): name for name in fields}
    found = {}
    for given, one in value.items():
        name = given if given in fields else folded.get(given.lower())
        if name is not None and (one is not None or _takes_null(fields[name])):
            found[name] = as_go_does(one, fields[name])
    return found


def _takes_null(info: inspect.Type) -> bool:
    options = info.types if isinstance(info, inspect.UnionType) else (info,)
    return any(isinstance(option, inspect.NoneType | inspect.AnyType) for option in options)


def _json_value(name: str, text: str) -> Any:
    if name == "filters":
        return parse_filters(text)
    try:
        return msgspec.json.decode(text)
    except _BROKEN as error:
        raise BadParameterError(f"invalid query: {name} is not valid JSON: {error}") from error


@cache
def _type_info(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


@cache
def _names(kind: type) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """Return the names of all fields of a struct and of the structs in it: as they are, and in lower case."""
    known = frozenset(name.encode() for name in _fields(_type_info(kind)))
    return known, frozenset(name.lower() for name in known)


def _fields(info: inspect.Type) -> Iterator[str]:
    if isinstance(info, inspect.StructType):
        for field in info.fields:
            yield field.encode_name
            yield from _fields(field.type)
    elif isinstance(info, inspect.UnionType):
        for option in info.types:
            yield from _fields(option)
    elif isinstance(info, inspect.DictType):
        yield from _fields(info.value_type)
    elif isinstance(info, inspect.ListType | inspect.VarTupleType):
        yield from _fields(info.item_type)


@cache
def _decoder(kind: type) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


@cache
def _forms(kind: type[Query]) -> dict[str, type]:
    """Parameter → how its text is read: bool, list, dict (JSON), str, or object for what msgspec converts."""
    info = _type_info(kind)
    assert isinstance(info, inspect.StructType)
    return {field.encode_name: _form(field.type) for field in info.fields}


def _form(info: inspect.Type) -> type:
    options = info.types if isinstance(info, inspect.UnionType) else (info,)
    kinds: tuple[tuple[type[inspect.Type], type], ...] = (
        (inspect.BoolType, bool),
        (inspect.ListType, list),
        (inspect.DictType, dict),
        (inspect.VarTupleType, dict),
        (inspect.StrType, str),
    )
    for kind, form in kinds:
        if any(isinstance(option, kind) for option in options):
            return form
    return object
