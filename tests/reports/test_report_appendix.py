from __future__ import annotations

import msgspec
import pytest

from bench import model
from reports import appendix
from tests.reports import synthetic

SYSTEMS = "--backends host,runtime,again,vm,crun"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("ninetynine", "run", "--seed", "5"), f"ninetynine run --seed 5 {SYSTEMS}"),
        (("/x/__main__.py", "run", "--backends=host"), "ninetynine run --backends=host --seed 20261124"),
        (("ninetynine", "run", "--out", "/tmp/a", "--seed=7"), f"ninetynine run --seed=7 {SYSTEMS}"),
        (("ninetynine", "run", "--resume=x", "a b"), f"ninetynine run 'a b' --seed 20261124 {SYSTEMS}"),
        ((), f"ninetynine --seed 20261124 {SYSTEMS}"),
    ],
)  # fmt: skip
def test_a_run_is_repeated_with_its_seed_and_into_a_new_directory(
    command: tuple[str, ...], said: str
) -> None:
    assert appendix.repeat(synthetic.run(command=command)) == said


def test_what_could_not_be_read_is_said() -> None:
    host = msgspec.structs.replace(synthetic.fingerprint(), governor="")

    assert ("Frequency governor", "could not be read") in appendix.facts(host)


def test_what_is_missing_for_one_reason_is_one_line_and_whole_systems_come_first() -> None:
    def gap(backend: str, metric: str, reason: str) -> model.NotMeasured:
        return model.NotMeasured(arm=backend, metric=metric, reason=reason)

    found = appendix.gaps(
        synthetic.run(not_measured=(gap("crun", "a", "x"), gap("crun", "b", "x"), gap("docker", "", "gone")))
    )

    assert [(one.system, one.metrics) for one in found] == [("docker", ()), ("crun", ("a", "b"))]
