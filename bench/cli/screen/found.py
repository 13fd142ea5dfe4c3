"""A run as the screens read it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import msgspec
import pandas as pd

from bench.answers.headline import Headline, headline
from bench.answers.labels import Labels
from bench.answers.sentences import Sentence, sentences
from bench.claims import Claims
from bench.model import Run, RunStatus, Verdict


class Found(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A run as it was read. families: all that can be asked for. page: None where there is none."""

    directory: Path
    run: Run
    status: RunStatus
    claims: Claims
    verdicts: tuple[Verdict, ...]
    samples: pd.DataFrame
    families: tuple[str, ...]
    page: Path | None

    def said(self) -> Headline:
        """The sentence to quote."""
        return headline(self.run, self.claims, self.verdicts)

    def sentences(self) -> tuple[Sentence, ...]:
        """Every sentence under test with its answers."""
        return sentences(self.run, self.claims, self.verdicts)

    def labels(self) -> Labels:
        """What the arms are called."""
        return Labels(self.run.plan.arms)

    def systems(self) -> list[str]:
        """The systems under test, emulated ones last."""
        return sorted(self.run.plan.systems, key=self.labels().is_emulated)

    @cached_property
    def scenario_of(self) -> dict[str, str]:
        """The scenario that measured a metric."""
        places = self.samples[["metric", "scenario"]].drop_duplicates("metric")
        return dict(zip(places["metric"], places["scenario"], strict=True))
