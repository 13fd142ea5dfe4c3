"""Does the image behave the same everywhere? A digest of a program's result and of the image's files."""

from __future__ import annotations

import re

from bench.model import Metric
from bench.scenarios.tool import ScriptSlice
from bench.scenarios.worker import Output

DIGITS = 12
"""Hexadecimal digits of the digest in a reading: 48 bits, which a double represents exactly."""

_SUM = "import math; print(math.fsum(math.sin(i) * math.exp(-i / 999) for i in range(9999)).hex())"
_FILES = "/usr/bin/openssl /usr/bin/redis-server /usr/bin/python3 /opt/ninetynine/*"
SCRIPT = f'{{ python3 -c "{_SUM}"; echo a b | sort -k2; cat {_FILES}; }} | sha256sum'

SAME = Metric(
    name="check.same_output",
    unit="digest",
    better="higher",
    role="primary",
    definition="The first 48 bits of a sha256 over what a program computes (a sum of 9999 sines and "
    "exponentials, to the last bit) and the bytes of the image's own programs, read inside the instance. A "
    "number without a size: it is equal to the host's or it is not.",
)


def digest(output: Output) -> float:
    """Return the number at the start of sha256sum's output. Raises ScenarioError."""
    found = re.fullmatch(r"\s*([0-9a-f]{64})\s+-\s*", output.text)
    if not found:
        raise output.error("it printed no sha256")
    return float(int(found[1][:DIGITS], 16))


SCENARIOS = (
    ScriptSlice(
        name=SAME.name,
        metrics=(SAME,),
        script=SCRIPT,
        parse=lambda output: {SAME.name: digest(output)},
        cost_s=0.06,
        every_nth_block=16,
    ),
)
