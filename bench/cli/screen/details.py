"""The rest of a run: every verdict with its reason, or all about one claim or one metric."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

from bench.answers.metric_names import plain_metric
from bench.answers.sentences import amount, between, bound, reach
from bench.answers.words import count, quantity
from bench.claims import Claim
from bench.cli.console import FAINT
from bench.cli.screen.found import Found
from bench.cli.screen.layout import SIGN, STYLE, line, wrapped
from bench.cli.screen.summary import WIDE, heading
from bench.model import AA, ALL, CLOCK, JOINT, POSITIVE, Verdict

_TITLES = {
    AA: "A/A control: copies of one arm beside each other",
    POSITIVE: "Positive control: the host with extra work",
    CLOCK: "Clocks and the tools' own figures beside the host's clock",
}


def everything(found: Found, width: int) -> list[Text]:
    """Every verdict of a run, what was not measured and why, and its notes."""
    lines = heading(found, width)
    for claim in _claims(found):
        rows = [row for row in found.verdicts if row.claim == claim.id]
        lines += _block(found, claim, rows, width)
    if found.run.not_measured:
        lines += [line(), line(("Not measured", "bold"))]
        lines += _gaps(found, width)
    if found.run.notes:
        lines += [line(), line(("Notes", "bold"))]
        lines += [one for note in found.run.notes for one in wrapped(note, width, "  ", "    ")]
    return lines


def known(found: Found) -> list[str]:
    """What `about` knows: claims and metrics of this run."""
    metrics = {plain_metric(row.metric) for row in found.verdicts if row.metric not in (ALL, JOINT)}
    names = [claim.id for claim in _claims(found)]
    return [*names, *sorted(metrics | {metric.name for metric in found.run.plan.metrics})]


def about(found: Found, what: str, width: int) -> list[Text]:
    """All about one claim or one metric; `what` is one of `known`."""
    lines = heading(found, width)
    for claim in _claims(found):
        rows = [
            row
            for row in found.verdicts
            if row.claim == claim.id and (what == claim.id or plain_metric(row.metric) == what)
        ]
        if what == claim.id:
            lines += _block(found, claim, rows, width, _meaning(claim))
        elif rows:
            lines += _block(found, claim, rows, width)
    metric = next((one for one in found.run.plan.metrics if one.name == what), None)
    if metric is not None:
        title = f"{metric.name}: {metric.unit}, {metric.better} is better, {metric.role}"
        lines += [line(), *wrapped(title, width, style="bold")]
        lines += [*wrapped(metric.definition, width, "  "), *_medians(found, what, metric.unit, width)]
    return lines


def _claims(found: Found) -> list[Claim]:
    """The claims file's, then those that only the verdicts know, the controls last."""
    claims = {claim.id: claim for claim in found.claims.claim}
    others = dict.fromkeys(row.claim for row in found.verdicts if row.claim not in claims)
    instrument = [name for name in others if name in _TITLES]
    named = [*(name for name in others if name not in _TITLES), *instrument]
    return [
        *claims.values(),
        *(Claim(id=name, sentence=_TITLES.get(name, name), kind="ratio") for name in named),
    ]


def _meaning(claim: Claim) -> list[str]:
    refuted = f"Refuted when {claim.refuted_when}." if claim.refuted_when else ""
    return [text for text in (claim.why, refuted) if text]


def _block(
    found: Found, claim: Claim, rows: Sequence[Verdict], width: int, prose: Iterable[str] = ()
) -> list[Text]:
    """A claim's sentence, then its rows: arms in the plan's order, what decides first."""
    limit = f" ({bound(claim)})" if bound(claim) else ""
    lines = [line(), *wrapped(f"{claim.id}: {claim.sentence}{limit}", width, style="bold")]
    for text in prose:
        lines += wrapped(text, width, "  ", style=FAINT)
    rank = {name: place for place, name in enumerate(found.run.plan.arm)}
    measured = [row for row in rows if row.verdict != "not measured"]
    measured.sort(
        key=lambda row: (
            rank.get(row.arm, len(rank)),
            row.metric not in (ALL, JOINT),
            not _decides(claim, row),
        )
    )
    for row in measured:
        lines += _row(found, claim, row, width)
    return [*lines, *_lacking(found, [row for row in rows if row.verdict == "not measured"], width)]


def _decides(claim: Claim, row: Verdict) -> bool:
    return plain_metric(row.metric) in claim.primary


def _row(found: Found, claim: Claim, row: Verdict, width: int) -> Iterator[Text]:
    """A metric, its number with interval and sessions, and why the verdict is what it is."""
    sign, style = SIGN[row.verdict], STYLE[row.verdict]
    who = "" if row.arm == ALL else found.labels().label(row.arm)
    beside = "" if row.baseline in ("", found.run.plan.baseline) else f" against {row.baseline}"
    what = "all that decide" if row.metric in (ALL, JOINT) else row.metric
    values = " ".join(
        part
        for part in (
            amount(claim, row.estimate),
            f"({between(claim, row)})" if between(claim, row) else "",
            f"in {count(row.n_sessions, 'session')}" if row.n_sessions else "",
        )
        if part and row.metric != ALL  # its bounds are of several metrics, so they are nobody's interval
    )
    named = f"{who}{beside}{', ' if who else ''}{what}"
    role = "" if not claim.primary or _decides(claim, row) or row.metric in (ALL, JOINT) else " (explains)"
    if len(named) + len(role) + len(values) + 6 <= width and width >= WIDE:
        yield line((f"{sign} ", style), named, (role, FAINT), "  ", (values, style))
    else:
        first, *more = wrapped(named + role, width, f"{sign} ")
        first.stylize(style, 0, 1)
        yield from (first, *more)
        if values:
            yield from wrapped(values, width, "    ", style=style)
    if row.out_of_reach:
        yield from wrapped(reach(row), width, "    ", style=style)
    if row.reason:
        yield from wrapped(row.reason, width, "    ", style=FAINT)


def _lacking(found: Found, rows: Sequence[Verdict], width: int) -> Iterator[Text]:
    """What has no verdict, together where one reason stands behind several metrics."""
    groups: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        groups.setdefault((row.arm, row.reason), []).append("" if row.metric == ALL else row.metric)
    for (arm, reason), metrics in groups.items():
        who = "" if arm == ALL else f"{found.labels().label(arm)}: "
        named = ", ".join(filter(None, metrics))
        yield from wrapped(f"{who}{reason}{f' ({named})' if named else ''}", width, ". ", style=FAINT)


def _gaps(found: Found, width: int) -> Iterator[Text]:
    groups: dict[tuple[str, str], list[str]] = {}
    for gap in found.run.not_measured:
        groups.setdefault((gap.arm, gap.reason), []).append(gap.metric or "everything")
    for (arm, reason), metrics in groups.items():
        yield from wrapped(f"{arm}: {reason} ({', '.join(metrics)})", width, "  ", "    ")


def _medians(found: Found, metric: str, unit: str, width: int) -> Iterator[Text]:
    """The median of each arm's samples: a fact about this run, and no verdict."""
    samples = found.samples
    mine = samples[(samples["metric"] == metric) & samples["valid"].astype(bool)]
    for name in found.run.plan.arm:
        values = mine.loc[mine["arm"] == name, "value"]
        if len(values):
            words = f"median {quantity(float(values.median()), unit)} of {count(len(values), 'sample')}"
            yield from wrapped(f"{found.labels().label(name)}: {words}", width, "  ", "    ")
