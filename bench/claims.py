"""The sentences under test, from `claims.toml`: what supports and what refutes each, fixed in advance."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import msgspec

from bench.errors import ExpectedError
from bench.model import Kind as ArmKind
from bench.model import Role

Kind = Literal["ratio", "quantile", "absolute", "same", "digest", "later"]
Rule = Literal["each", "all"]

DEFAULT_PATH = Path(__file__).with_name("claims.toml")

BASELINE, MARGIN, ALPHA = "host", 0.99, 0.05
"""What others are compared with, the share of it that they have to reach, and the chance of a false verdict,
where neither a claim of the file nor a user says otherwise."""


class ClaimsError(ExpectedError):
    """The claims file cannot be used: names the file, the claim, and what to correct."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sentence under test. short: its name in a table.

    kind: `ratio` (performance of an arm relative to each of `baselines`), `quantile` (a quantile of the
    arm's own values against `margin`), `absolute` (the arm's own typical value against `margin`),
    `same` (equal to the first of `baselines` in every pair, exactly), `digest` (the image's digest before and
    after the run), `later` (not measured yet, `reason` says why).
    rule: `each` metric stands alone, or `all` (intersection–union over the primary ones, one more row `*`).
    `primary` are exact metric names; `stress` and `arms` may hold shell patterns; primary wins.
    arms, arm_kinds: the arms the claim speaks of, by name or by what they run in. `baseline_backend` is the
    backend of the baselines: where it is not available, the claim lacks them. `exempt` maps a kind of arm to
    primary metrics that cannot exist there.
    """

    id: str
    number: int = 0
    sentence: str
    short: str = ""
    kind: Kind
    primary: tuple[str, ...] = ()
    stress: tuple[str, ...] = ()
    arms: tuple[str, ...] = ("*",)
    arm_kinds: tuple[ArmKind, ...] = ()
    baselines: tuple[str, ...] = ("host",)
    baseline_backend: str = "host"
    margin: float | None = None
    unit: str = ""
    quantiles: tuple[float, ...] = ()
    alpha: float = 0.05
    rule: Rule = "each"
    exempt: dict[ArmKind, tuple[str, ...]] = {}
    why: str = ""
    refuted_when: str = ""
    reason: str = ""

    def role_of(self, metric: str) -> Role | None:
        """Role of a metric in this claim, or None when the claim does not speak of it."""
        if metric in self.primary:
            return "primary"
        return "stress" if matches(metric, self.stress) else None

    def speaks_of(self, arm: str, kind: ArmKind | None = None) -> bool:
        """Whether a verdict row is due for this arm. kind: of the arm, where it is known."""
        return matches(arm, self.arms) or kind in self.arm_kinds

    def required(self, kind: ArmKind | None = None) -> tuple[str, ...]:
        """Primary metrics that must be there before the claim can be supported for an arm of this kind."""
        spared = self.exempt.get(kind, ()) if kind is not None else ()
        return tuple(metric for metric in self.primary if metric not in spared)


class Control(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The A/A control: copies of one arm against it, failed by chance in at most `alpha` of runs in all.

    `arm` is the copy of `baseline`; twins: further copies → what each is a copy of. counts: patterns of
    metrics that are counts of bytes, tied rather than noisy (see bench.stats.control).
    """

    arm: str
    baseline: str
    twins: dict[str, str] = {}
    alpha: float
    margin: float
    counts: tuple[str, ...] = ()

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(copy, what it is a copy of) of every pair."""
        return ((self.arm, self.baseline), *self.twins.items())


class Positive(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The positive control: `arm` is `baseline` with a share of `extra` more work, which has to be found.

    Found: its ratio is refuted against `margin`, as a system's would be. Failed by chance (the work called
    absent) in at most `alpha` of runs.
    """

    arm: str = "host-2pct"
    baseline: str = "host"
    extra: float = 0.02
    alpha: float = 0.01
    margin: float = 0.99


class Clock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Clocks and tools checked against the host's own, to within `tolerance` (a share).

    fixed_work: patterns of metrics whose slice is a fixed amount of work, nearly all of it in the tool's own
    figure, so that figure × host time is the same for every arm.
    """

    tolerance: float = 0.01
    fixed_work: tuple[str, ...] = ()


class Claims(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of `claims.toml`."""

    min_sessions: int
    control: Control
    positive: Positive = Positive()
    clock: Clock = Clock()
    claim: tuple[Claim, ...]

    def of_metric(self, metric: str) -> tuple[Claim, ...]:
        """Claims that speak of a metric, in the order of the file."""
        return tuple(claim for claim in self.claim if claim.role_of(metric) is not None)


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether `name` is matched by any shell pattern (case-sensitive, `*` spans dots)."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def load(path: Path = DEFAULT_PATH) -> Claims:
    """Read and check a claims file. Raises ClaimsError."""
    try:
        claims = msgspec.toml.decode(path.read_bytes(), type=Claims)
    except OSError as error:
        raise ClaimsError(f"read claims {path}: {error.strerror}; give a readable claims.toml") from error
    except msgspec.DecodeError as error:
        raise ClaimsError(f"read claims {path}: {error}; correct the file") from error
    for claim in claims.claim:
        problem = _problem(claim)
        if problem:
            raise ClaimsError(f"read claims {path}: claim {claim.id}: {problem}")
    problem = _control_problem(claims)
    if problem:
        raise ClaimsError(f"read claims {path}: controls: {problem}")
    ids = [claim.id for claim in claims.claim]
    doubled = sorted({name for name in ids if ids.count(name) > 1})
    if doubled:
        raise ClaimsError(f"read claims {path}: claim {doubled[0]} is there twice; rename one")
    return claims


def _problem(claim: Claim) -> str | None:
    judged = claim.kind in ("ratio", "quantile", "absolute")
    if judged and claim.margin is None:
        return "has no margin; give the number the bound is compared with"
    if judged and not claim.primary and not claim.stress:
        return "names no metric; fill primary or stress"
    if claim.kind == "ratio" and claim.margin is not None and claim.margin <= 0:
        return "has a ratio margin that is not positive; use for example 0.99"
    if claim.kind == "same" and not claim.primary:
        return "names no metric; fill primary"
    if claim.kind == "quantile" and not claim.quantiles:
        return "names no quantile; give for example quantiles = [0.5, 0.99]"
    if not 0 < claim.alpha < 0.5:
        return "has an alpha outside (0, 0.5); use 0.05"
    if not claim.refuted_when and claim.kind != "later":
        return "does not say what would refute it; fill refuted_when"
    return None


def _control_problem(claims: Claims) -> str | None:
    extra, margin = claims.positive.extra, claims.positive.margin
    if not extra > 0 or 1.0 / (1.0 + extra) >= margin:
        return f"{extra:g} of extra work is not below the margin of {margin:g}; give more, for example 0.02"
    if not all(0 < alpha < 0.5 for alpha in (claims.control.alpha, claims.positive.alpha)):
        return "an alpha lies outside (0, 0.5); use 0.01"
    if not 0 < claims.clock.tolerance < 1:
        return "the tolerance of clocks lies outside (0, 1); use 0.01"
    return None
