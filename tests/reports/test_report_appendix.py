from __future__ import annotations

import msgspec

from bench import model
from reports import appendix
from tests.reports import synthetic


def repeated(**changes: object) -> str:
    plan = msgspec.structs.replace(synthetic.run().plan, **({"seed": 5, "budget_s": 340.0} | changes))
    return appendix.repeat(synthetic.run(plan=plan, command=("ninetynine", "compare", "old", "--live")))


def test_a_run_is_repeated_by_its_plan_whatever_verb_measured_it() -> None:
    assert repeated() == (
        "ninetynine run --profile quick --backends host,runtime,again,vm,crun --families startup,cpu,memory,"
        "network,disk --cpus 0,1 --budget 340 --seed 5"
    )


def test_backends_that_the_profile_measures_in_part_are_not_named_since_that_would_measure_them_whole() -> (
    None
):
    assert "--backends" not in repeated(left_out={"crun": ("cpu",)})
    assert "--backends host,runtime,again,vm,crun" in repeated(left_out={"docker": ("cpu",)})


def test_a_run_until_all_is_decided_is_repeated_with_both_of_its_budgets() -> None:
    said = repeated(until_decided=True, first_budget_s=90.0, budget_s=1800.0)
    assert said.endswith("--budget 90 --seed 5 --until-decided --at-most 1800s")


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
