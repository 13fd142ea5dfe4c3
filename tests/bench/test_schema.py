"""The exported schema is the structs' own, and real files satisfy it."""

import json

import jsonschema
import msgspec
import pytest

from bench import schema
from bench.model import Verdict


@pytest.mark.parametrize("name", sorted(schema.documents()))
def test_the_file_in_docs_is_up_to_date(name):
    assert (schema.DIRECTORY / name).read_bytes() == schema.documents()[name], "run `python -m bench.schema`"


@pytest.mark.parametrize("name", sorted(schema.documents()))
def test_it_is_a_json_schema(name):
    document = json.loads(schema.documents()[name])
    jsonschema.Draft202012Validator.check_schema(document)  # raises SchemaError where it is not one
    assert not jsonschema.Draft202012Validator(document).is_valid("anything else")


def test_a_verdict_with_a_fifth_state_is_refused():
    rule = json.loads(schema.documents()["verdicts.json"])
    one = dict.fromkeys(field.name for field in msgspec.structs.fields(Verdict))
    one |= {"claim": "c", "metric": "m", "arm": "b", "baseline": "host", "alpha": 0.05, "notes": ["why"]}
    one |= {"n_sessions": 1, "n_pairs": 1, "verdict": "supported", "emulated": False}
    one |= {"pairing": "single", "out_of_reach": False}
    jsonschema.validate([one], rule)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate([one | {"verdict": "perhaps"}], rule)
