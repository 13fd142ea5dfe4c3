"""Reads one run directory into an `Evidence`; nothing else in this package touches a run's files."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from bench import claims as claims_file
from bench import store
from bench.answers.sentences import Sentence, sentences
from bench.claims import Claims
from bench.model import Metric, Run, Verdict
from reports.arms import Legend


class ReportError(Exception):
    """A report could not be made: names the file, what is wrong with it, and what to do next."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """All that a page may say: the run's record, its samples in run order, the claims and their verdicts.

    `samples` has the columns of `bench.model.Sample`, one row per sample; empty if the run measured nothing.
    `remarks` are sentences about the files themselves (recovered from the journal, not judged yet).
    """

    directory: Path
    run: Run
    samples: pd.DataFrame
    claims: Claims
    verdicts: tuple[Verdict, ...]
    remarks: tuple[str, ...] = ()

    @cached_property
    def sentences(self) -> tuple[Sentence, ...]:
        """What was found of each sentence under test, system by system."""
        return sentences(self.run, self.claims, self.verdicts)

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The plan's metrics by name."""
        return {metric.name: metric for metric in self.run.plan.metrics}

    @cached_property
    def shown(self) -> pd.DataFrame:
        """Samples whose value is a number, counted or not."""
        finite = np.isfinite(self.samples["value"].to_numpy(dtype="float64"))
        return pd.DataFrame(self.samples.loc[finite])

    @cached_property
    def valid(self) -> pd.DataFrame:
        """The samples that count."""
        return self.shown.loc[self.shown["valid"].to_numpy(dtype=bool)]

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Arms in the plan's order, then any that the samples carry beyond the plan."""
        planned = [arm.name for arm in self.run.plan.arms]
        seen = [str(name) for name in self.samples["arm"].unique()]
        return tuple(dict.fromkeys(planned + seen))

    @cached_property
    def legend(self) -> Legend:
        """Labels and looks of the arms."""
        return Legend(self.run.plan.arms)

    @property
    def baseline(self) -> str:
        """The arm that all others are measured against."""
        return self.run.plan.baseline

    @property
    def controls(self) -> frozenset[str]:
        """Arms that test the instrument and are not systems under test."""
        return self.run.plan.controls

    @cached_property
    def systems(self) -> tuple[str, ...]:
        """The systems under test: every arm but the baseline and the controls."""
        return tuple(arm for arm in self.arms if arm != self.baseline and arm not in self.controls)

    @cached_property
    def scenario_of(self) -> dict[str, str]:
        """The scenario that gave each metric."""
        pairs = self.samples[["metric", "scenario"]].drop_duplicates("metric")
        return {str(metric): str(name) for metric, name in pairs.itertuples(index=False, name=None)}

    @cached_property
    def compared(self) -> pd.DataFrame:
        """The samples that count of the baseline and the systems under test, without the controls."""
        return self.valid[~self.valid["arm"].isin(self.controls)]

    def of(self, *names: str) -> pd.DataFrame:
        """Valid samples of the named metrics, arms in the plan's order, without the controls."""
        return self._by_arm(self.compared, names)

    def all_of(self, *names: str) -> pd.DataFrame:
        """All samples of the named metrics, the controls' and those that do not count too."""
        return self._by_arm(self.shown, names)

    def _by_arm(self, samples: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
        rows = samples[samples["metric"].isin(names)]
        rank = rows["arm"].map({arm: place for place, arm in enumerate(self.arms)})
        return rows.assign(rank=rank).sort_values(["rank", "order"], kind="stable").drop(columns="rank")


def load(directory: Path) -> Evidence:
    """Read a run and its verdicts; a run that was never judged has none, and a remark says so.

    Raises ReportError naming the file for anything missing, cut off, or of another schema.
    """
    try:
        loaded = store.load(directory)
        judged = (directory / store.VERDICTS).exists()
        verdicts = store.load_verdicts(directory) if judged else []
        claims = claims_file.load()
    except (store.StoreError, claims_file.ClaimsError) as error:
        raise ReportError(f"report of {directory}: {error}") from error
    unjudged = () if judged else (f"Not judged yet: `ninetynine judge {directory}` gives the verdicts.",)
    return Evidence(
        directory=directory,
        run=loaded.run,
        samples=loaded.samples.sort_values("order", kind="stable", ignore_index=True),
        claims=claims,
        verdicts=tuple(verdicts),
        remarks=loaded.recovered + unjudged,
    )
