"""How quiet the machine was over a run: pressure, steal, clock, what was repeated, what did not count."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd

from bench.answers.words import NBSP, count
from reports.figures import conditions as figure
from reports.load import Evidence
from reports.panels import Panel, TextTable, panel

MOST_REASONS = 12

STEADY = 1.02
"""A clock between whose first and last percentile lies no more than this factor is a flat line."""

REPEATED = "taken under pressure and repeated"


class ConditionsSection(msgspec.Struct, frozen=True, kw_only=True):
    """The section. invalid: samples not counted, by reason; None where all counted."""

    sentence: str
    panels: tuple[Panel, ...]
    invalid: TextTable | None


def conditions(evidence: Evidence) -> ConditionsSection | None:
    """The section, or None for a run without samples. Older runs have no conditions and only the counts."""
    if evidence.samples.empty:
        return None
    found = slices(evidence.samples)
    recorded = found[found["recorded"]]
    panels: list[Panel] = []
    if len(recorded):
        panels.append(
            panel(
                "noise",
                "Pressure and steal over the run",
                figure.noise(recorded),
                _by_arm(evidence, recorded),
                lead=_worst(recorded),
                alt="CPU pressure and steal of every slice over the time of the run; by arm in the table.",
                wide=not _varies(recorded["frequency_mhz"]),
            )
        )
    if _varies(recorded["frequency_mhz"]):
        panels.append(
            panel(
                "frequency",
                "Clock of the CPUs over the run",
                figure.frequency(recorded),
                _frequencies(evidence, recorded),
                alt="Mean clock of the planned CPUs in every slice over the time of the run.",
                wide=False,
            )
        )
    sentence = _sentence(evidence, found, bool(len(recorded)))
    return ConditionsSection(sentence=sentence, panels=tuple(panels), invalid=_invalid(evidence))


def slices(samples: pd.DataFrame) -> pd.DataFrame:
    """One row for each take of a step: when, how long (s), its conditions, whether it was set aside.

    recorded: the host reported any conditions. Several samples of a slice share them.
    """
    frame = samples.assign(
        end_ns=samples["start_ns"] + samples["duration_ns"],
        aside=samples["set_aside"] == "pressure",
    )
    grouped = frame.groupby(["order", "take"], sort=True, observed=True)
    found = grouped.agg(
        arm=("arm", "first"),
        start_ns=("start_ns", "min"),
        end_ns=("end_ns", "max"),
        stall_share=("stall_share", "first"),
        steal_share=("steal_share", "first"),
        frequency_mhz=("frequency_mhz", "first"),
        switches=("switches", "first"),
        busy_s=("busy_s", "first"),
        aside=("aside", "all"),
    ).reset_index()
    found["seconds"] = (found["end_ns"] - found["start_ns"]).clip(lower=0) / 1e9
    for name in ("stall_share", "steal_share", "frequency_mhz", "switches", "busy_s"):
        found[name] = pd.to_numeric(found[name], errors="coerce")
    found["recorded"] = found[["stall_share", "steal_share", "frequency_mhz", "switches"]].notna().any(axis=1)
    return found


def _sentence(evidence: Evidence, found: pd.DataFrame, recorded: bool) -> str:
    if not recorded:
        return f"This run recorded no conditions of its {count(len(found), 'slice')}."
    aside = found[found["aside"]]
    if not len(aside):
        return f"None of {count(len(found), 'slice')} was taken under pressure."
    by_arm = aside["arm"].value_counts()
    who = ", ".join(f"{number} of {evidence.legend.label(str(arm))}" for arm, number in by_arm.items())
    part = aside["seconds"].sum() / max(found["seconds"].sum(), 1e-9)
    return (
        f"{count(len(aside), 'slice')} of {len(found):,} {'was' if len(aside) == 1 else 'were'} taken under "
        f"pressure and repeated ({who}), "
        f"which took {_percent(part)} of the measuring time."
    )


def _worst(recorded: pd.DataFrame) -> str:
    parts = []
    for name, word in (("stall_share", "pressure"), ("steal_share", "steal")):
        values = recorded[name].dropna()
        if len(values):
            middle, high = np.quantile(values, [0.5, 0.99])
            parts.append(
                f"{word}: {_percent(middle)} in the middle slice, {_percent(high)} in the worst of a hundred"
            )
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _by_arm(evidence: Evidence, recorded: pd.DataFrame) -> TextTable:
    rows = []
    for arm in (arm for arm in evidence.arms if (recorded["arm"] == arm).any()):
        mine = recorded[recorded["arm"] == arm]
        seconds = mine["seconds"].clip(lower=1e-6)
        rows.append(
            (
                evidence.legend.label(arm),
                f"{len(mine):,}",
                f"{int(mine['aside'].sum()):,}",
                _two(mine["stall_share"]),
                _two(mine["steal_share"]),
                _middle(mine["switches"] / seconds, "{:,.0f}"),
                _middle(mine["busy_s"] / seconds, "{:.2f}"),
            )
        )
    head = (
        "arm",
        "slices",
        "repeated",
        "pressure, middle / p90",
        "steal, middle / p90",
        "switches/s",
        "busy CPUs",
    )
    return TextTable(head, tuple(rows))


def _varies(clock: pd.Series[float]) -> bool:
    """Whether the clock moved so much that a picture of it says more than its median."""
    known = clock.dropna()
    if known.empty:
        return False
    low, high = np.quantile(known, [0.01, 0.99])
    return bool(high > STEADY * low)


def _frequencies(evidence: Evidence, recorded: pd.DataFrame) -> TextTable:
    rows = []
    for arm in (arm for arm in evidence.arms if (recorded["arm"] == arm).any()):
        values = recorded.loc[recorded["arm"] == arm, "frequency_mhz"].dropna()
        if len(values):
            low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
            rows.append((evidence.legend.label(arm), f"{low:,.0f}", f"{middle:,.0f}", f"{high:,.0f}"))
    return TextTable(("arm", "p10, MHz", "median, MHz", "p90, MHz"), tuple(rows))


def _two(values: pd.Series[float]) -> str:
    known = values.dropna()
    if not len(known):
        return "–"
    middle, high = np.quantile(known, [0.5, 0.9])
    return f"{_percent(middle)} / {_percent(high)}"


def _percent(part: float) -> str:
    return f"{100 * part:.1f}{NBSP}%"


def _middle(values: pd.Series[float], form: str) -> str:
    known = values.dropna()
    return form.format(float(known.median())) if len(known) else "–"


def _invalid(evidence: Evidence) -> TextTable | None:
    """Samples not counted, by reason; slices that were repeated count as one reason."""
    lost = evidence.samples[~evidence.samples["valid"].to_numpy(dtype=bool)]
    if lost.empty:
        return None
    kinds = lost["reason"].replace("", "no reason given").mask(lost["set_aside"] == "pressure", REPEATED)
    grouped = kinds.value_counts()
    rows = [
        (
            str(kind),
            f"{number:,}",
            ", ".join(map(evidence.legend.label, dict.fromkeys(lost.loc[kinds == kind, "arm"]))),
        )
        for kind, number in grouped.head(MOST_REASONS).items()
    ]
    if rest := len(grouped) - MOST_REASONS:
        rows += (
            [(f"{rest} more reasons", f"{int(grouped.iloc[MOST_REASONS:].sum()):,}", "")] if rest > 0 else []
        )
    return TextTable(("reason", "samples", "arms"), tuple(rows))
