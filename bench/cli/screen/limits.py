"""What limits the reading of a run: its controls, the host, what time was short for, and what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import msgspec
import pandas as pd
from rich.text import Text

from bench.answers.headline import daemons_of
from bench.answers.instrument import Control, negative, positive
from bench.answers.metric_names import metric_words
from bench.answers.resolution import Resolution, resolution
from bench.answers.sentences import minutes_to
from bench.answers.words import NBSP, count
from bench.answers.words import listed as joined
from bench.cli.names import MOST_BUDGET_S, UNTIL_MIN
from bench.cli.screen.found import Found
from bench.cli.screen.layout import STYLE, listed, wrapped
from bench.model import CHECKS, Verdict
from bench.profiles import PROFILES, pace

_PEERS = ("docker", "crun")
"""Backends that `nox -s setup -- --peers` installs."""

_OWN = ", the suite's own question"
"""After what belongs to no numbered sentence."""

_LONG_MIN = 100.0
"""Minutes from which on hours are plainer."""


def limits(found: Found, width: int) -> list[Text]:
    """Each control in a line, how quiet the host was, what is open for want of time, and what is missing."""
    return [
        *_aa(found, width),
        *_extra(found, width),
        *wrapped(quiet(found), width, "Host  "),
        *more_time(found, width),
        *listed("Not measured: ", not_measured(found), width),
        *listed("Not asked: ", not_asked(found), width),
    ]


def _aa(found: Found, width: int) -> list[Text]:
    control = negative(found.run, found.verdicts)
    seen = resolution(control, found.claims)
    if control.state == "refuted":
        why = control.faults or (control.joint.notes if control.joint else ())
        more = f": {'; '.join(why)}"
    else:
        more = f"; {_seen(seen)}" if seen else ""
    return wrapped(control.word + more, width, "A/A   ", style=_state_style(control))


def _seen(seen: Resolution) -> str:
    """What the control could have seen in the metrics that decide: where half of them do, and in the best."""
    best = seen.sizes[0]
    if best > 1:
        return "too noisy to see even a difference of 100 %"
    if len(seen.sizes) == 1:
        return f"could see a difference of {_rough(best)}"
    size = min(1.0, seen.half)
    where = f"in {seen.seen(size)} of {count(len(seen.sizes), 'metric')}"
    return f"could see a difference of {_rough(size)} {where} (best {_rough(best)})"


def _rough(size: float) -> str:
    return f"{float(f'{100 * size:.2g}'):g}{NBSP}%"


def _extra(found: Found, width: int) -> list[Text]:
    control, planned = positive(found.run, found.verdicts), found.run.plan.positive
    if control is None or planned is None or not control.rows:
        return []
    shown = {row.metric.partition(".")[0] for row in control.rows if row.verdict == "supported"}
    blind = dict.fromkeys(row.metric.partition(".")[0] for row in control.rows)
    lacking = [name for name in blind if name not in shown]
    number = sum(row.verdict == "supported" for row in control.rows)
    text = f"of extra work found in {number} of {count(len(control.rows), 'metric')}"
    weak = f"; too weak to see it in {joined(lacking)}" if lacking and control.state != "refuted" else ""
    return wrapped(text + weak, width, f"{100 * planned.extra:g} %   ", style=_state_style(control))


def _state_style(control: Control) -> str:
    return "" if control.state in ("supported", "not measured") else STYLE[control.state]


def quiet(found: Found) -> str:
    """How quiet the host was during the slices."""
    if found.samples.empty:
        return "no samples"
    slices = found.samples.drop_duplicates(["order", "take"])
    waited, stolen = (pd.to_numeric(slices[name]).dropna() for name in ("stall_share", "steal_share"))
    parts = []
    if len(waited):
        worst = f"{100 * waited.quantile(0.9):.0f} %"
        parts.append(f"CPU wait {100 * waited.median():.1f} % (worst tenth {worst})")
    if len(stolen):
        parts.append(f"steal {100 * stolen.median():.1f} %")
    again = int((slices["set_aside"] == "pressure").sum())
    return ", ".join((*parts, f"{again:,} of {len(slices):,} repeated"))


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What would settle a sentence for a system: minutes of measuring (None: not in sight), for its metrics
    that the run gave up."""

    who: str
    metrics: tuple[str, ...]
    minutes: float | None


def more_time(found: Found, width: int) -> list[Text]:
    """What the run gave up for want of time, a line a sentence; those that belong to no number come last."""
    needs = {
        f"{one.claim.short or one.claim.id}{'' if one.claim.number else _OWN}": need
        for one in sorted(found.sentences(), key=lambda one: not one.claim.number)
        if (need := _needs(found, [row for answer in one.answers for row in answer.rows]))
    }
    if not needs or not found.said().valid:
        return []
    known = [need.minutes for group in needs.values() for need in group if need.minutes is not None]
    title = f"More time would settle{_longer(found, sum(known))}:" if known else "Too noisy to settle here:"
    lines = wrapped(title, width)
    for sentence, group in needs.items():
        lines += wrapped(f"{sentence}: {', '.join(_worded(group))}", width, "  ", "    ")
    return lines


def _needs(found: Found, rows: Iterable[Verdict]) -> list[Need]:
    """Of the system that the headline is about and its daemons; of all others only where these lack
    nothing."""
    said = found.said().subject
    ours = (said, *daemons_of(found.run, said))
    given_up: dict[str, list[Verdict]] = {}
    for row in rows:
        if row.out_of_reach:
            given_up.setdefault(row.arm, []).append(row)
    named = [arm for arm in ours if arm in given_up] or list(given_up)
    return [need for arm in named for need in _of(found, arm, given_up[arm])]


def _of(found: Found, arm: str, rows: list[Verdict]) -> Iterator[Need]:
    """What a time is known for together, then the rest; metrics of one scenario share its slices."""
    times = {row.metric: minutes_to(row) for row in rows}
    near = {metric: time for metric, time in times.items() if time is not None}
    far = tuple(metric for metric in times if metric not in near)
    shared = {found.scenario_of.get(metric, metric): time for metric, time in near.items()}
    if near:
        yield Need(who=_who(found, arm), metrics=tuple(near), minutes=sum(shared.values()))
    if far:
        yield Need(who=_who(found, arm), metrics=far, minutes=None)


def _worded(group: list[Need]) -> Iterator[str]:
    """`4 metrics of container ~9 min`, then `1 of nnd ~3 min`; one metric alone by its name."""
    for place, need in enumerate(group):
        what = f"{len(need.metrics)}" if place else count(len(need.metrics), "metric")
        if len(group) == len(need.metrics) == 1:
            what = metric_words(need.metrics[0])
        yield f"{what} of {need.who} {_time(need.minutes)}"


def _time(minutes: float | None) -> str:
    if minutes is None:
        return "not in sight"
    if minutes > _LONG_MIN:
        return f"~{minutes / 60:.0f}{NBSP}h"
    return f"~{max(1, round(minutes))}{NBSP}min"


def _longer(found: Found, minutes: float) -> str:
    """The option that measures so much longer, in brackets; "" beyond what may be asked for."""
    whole = minutes + found.run.plan.budget_s / 60
    if whole <= UNTIL_MIN:
        return " (add --until-decided)"
    most = math.ceil(whole / 60)
    return f" (add --until-decided --at-most {most}h)" if most <= MOST_BUDGET_S / 3600 else ""


def not_measured(found: Found) -> list[str]:
    """What was asked for and is missing, with the way to have it."""
    labels, run = found.labels(), found.run
    whole = dict.fromkeys(gap.arm for gap in run.not_measured if not gap.metric)
    peers = [name for name in whole if name in _PEERS]
    others = [labels.brief(name) for name in whole if name not in _PEERS]
    parts = [f"{joined(peers)} (nox -s setup -- --peers)"] if peers else []
    parts += [f"{joined(others)} (`doctor` says why)"] if others else []
    later = [one.claim.short for one in found.sentences() if one.claim.kind == "later"]
    return [*parts, *_in_part(found, whole), *(f"{name} (a later family)" for name in later)]


def _in_part(found: Found, whole: Iterable[str]) -> list[str]:
    """What systems that are there lack: families that the profile has no time for, then the rest."""
    plan = found.run.plan
    untimed: dict[str, list[str]] = {}
    slow: list[str] = []
    others: list[str] = []
    for arm, families in _gaps(found, whole).items():
        left_out = plan.left_out.get(plan.arm[arm].backend if arm in plan.arm else arm, ())
        for family in left_out:
            if families.pop(family, None):
                untimed.setdefault(family, []).append(_who(found, arm))
        if families:
            (slow if _is_thinned(found, arm) else others).append(_rest(found, arm, families))
    groups = {
        "--backends NAME, or --profile full": _alike(untimed),
        "more: --profile full": slow,
        "why: show --all": others,
    }
    return [f"{', '.join(group)} ({way})" for way, group in groups.items() if group]


def _gaps(found: Found, whole: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Metrics that are missing, by arm and family."""
    gaps: dict[str, dict[str, list[str]]] = {}
    for gap in found.run.not_measured:
        if gap.metric and gap.arm not in whole:
            family = gap.metric.partition(".")[0]
            gaps.setdefault(gap.arm, {}).setdefault(family, []).append(gap.metric)
    return gaps


def _alike(untimed: dict[str, list[str]]) -> list[str]:
    """`cpu and memory of nnd and docker`, `image of docker`: what the same systems lack stands together."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for family, systems in untimed.items():
        alike.setdefault(tuple(systems), []).append(family)
    return [f"{joined(families)} of {joined(list(systems))}" for systems, families in alike.items()]


def _rest(found: Found, arm: str, families: dict[str, list[str]]) -> str:
    """Families that are missing as a whole by name, other metrics by number."""
    samples = found.samples
    mine = samples.loc[(samples["arm"] == arm) & samples["valid"].astype(bool), "metric"]
    there = {metric.partition(".")[0] for metric in mine.unique()}
    gone = [family for family in families if family not in there and family != CHECKS]
    number = sum(len(metrics) for family, metrics in families.items() if family not in gone)
    return f"{joined([*gone, *([count(number, 'metric')] if number else [])])} of {_who(found, arm)}"


def _who(found: Found, arm: str) -> str:
    return found.labels().brief(arm).replace(" ", NBSP)


def _is_thinned(found: Found, arm: str) -> bool:
    """Whether the profile takes only some scenarios of this arm, since it is slow."""
    plan = found.run.plan
    chosen = PROFILES.get(plan.profile)
    return bool(
        chosen
        and arm in plan.arm
        and pace(plan.arm[arm]).slow
        and (chosen.slow_primary_only or chosen.slow_per_family is not None)
    )


def not_asked(found: Found) -> list[str]:
    """What the command left out, by the option that would have it."""
    plan = found.run.plan
    gone = {gap.metric.partition(".")[0] for gap in found.run.not_measured if gap.metric}
    asked = {*plan.families, *gone}
    families = [name for name in found.families if name not in asked and name != CHECKS]
    planned = {arm.backend for arm in plan.arms} | {gap.arm for gap in found.run.not_measured}
    usual = PROFILES[plan.profile].backends if plan.profile in PROFILES else ()
    backends = [name for name in usual if name not in planned]
    parts = [f"{', '.join(families)} (--families)"] if families else []
    return [*parts, *([f"{', '.join(backends)} (--backends)"] if backends else [])]
