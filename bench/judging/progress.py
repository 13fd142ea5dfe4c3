"""How far one scenario is with one arm, as a look at the data finds it: all that the walk needs to know."""

from __future__ import annotations

import msgspec


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One (scenario, arm). decided: every comparison that decides a claim is supported or refuted.

    needed: sessions in all, those done included, that decide it at the pace seen so far (inf: not in sight;
    those done where it is decided). primary: whether any of its metrics decides a claim.
    """

    scenario: str
    arm: str
    decided: bool
    needed: float
    primary: bool
