"""A run from start to end: set up, plan, measure, close. `start` and `resume` differ only in where the plan
comes from."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bench import claims, journal, measure, store
from bench.cli import ahead, names, prices, setup
from bench.cli.concluding import conclude
from bench.cli.console import command
from bench.cli.dependencies import Dependencies, cache_dir
from bench.cli.errors import USAGE, CliError
from bench.cli.exclusive import measuring
from bench.host.fingerprint import fingerprint, versions
from bench.image.recipe import ImageError
from bench.journal import Contents, DropLine, Journal, RunLine, StoreError
from bench.judging.deciding import Progress, progress
from bench.measure.pressure import repeated
from bench.model import SCHEMA_VERSION, Closed, Fingerprint, NotMeasured, Plan, Run, Sample
from bench.profiles import CORE_SHARE, UNTIL_SESSIONS, Profile, profile
from bench.scenarios.base import Scenario


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `ninetynine run`. at_most: go on until all is decided, for so many seconds at most.
    like: the plan to make again; its prices are used, not those that are known by now. left_out: backend →
    families not to measure (None: the profile's, where no backends are named)."""

    profile: str = "quick"
    backends: str | None = None
    families: str | None = None
    cpus: str | None = None
    seed: int | None = None
    budget: float | None = None
    at_most: float | None = None
    like: Plan | None = None
    left_out: dict[str, tuple[str, ...]] | None = None
    out: Path | None = None
    results: Path = Path("results")


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is complete or interrupted: its directory and the content of `run.json`."""

    directory: Path
    run: Run


def start(deps: Dependencies, options: Options, observer: measure.Observer) -> Ended:
    """Carry out a new run, from names to a closed directory. Raises CliError, StoreError, BackendError,
    PlanError."""
    asked = choose(deps, options)
    require_root(deps)
    identity, cache = store.new_id(), cache_dir()
    directory = options.out or options.results / identity
    with contextlib.ExitStack() as stack:
        stack.enter_context(measuring(cache, asked.cpus, f"the run {directory}", observer.note))
        store.create(directory)
        stack.enter_context(_removed_while_empty(directory))
        # Before the set-up, whose own work is not a reason to warn.
        found = ahead.disturbing(cache, asked.cpus)
        for check in found:
            observer.note(f"{check.name}: {check.found}")
        stage = stack.enter_context(setup.stage(deps, asked.backends, cache, observer.say))
        host = fingerprint(cache)
        plan, missing = asked.planned(stage, prices.known(deps, cache))
        known = {one.name: one for one in asked.scenarios}
        doubts = (
            *ahead.outlook(deps, stage, plan, asked.profile, observer.say),
            *ahead.short(plan, known, asked.profile),
            *asked.unlike(plan),
        )
        for text in doubts:
            observer.note(text)
        if found or doubts:
            observer.note("Ctrl-C now ends the run before it has begun")
        heed = (*map(ahead.sentence, found), *doubts)
        run = _planned(identity, plan, stage, missing, host, heed)
        with Journal(directory / journal.NAME) as book:
            book.append(RunLine(run=run))
            store.write_run(directory, run)
            return _measure(deps, directory, run, stage, asked.profile, book, None, observer)


def choose(deps: Dependencies, options: Options) -> ahead.Chosen:
    """What the options stand for here. Raises CliError, ProfileError."""
    first = _within(profile(options.profile), options.budget)
    chosen = _until_decided(first, options.at_most)
    if options.left_out is not None or options.backends is not None:
        chosen = msgspec.structs.replace(chosen, left_out=options.left_out or {})
    return ahead.Chosen(
        profile=chosen,
        backends=names.backends(options.backends, chosen.backends, list(deps.backends)),
        scenarios=names.scenarios(options.families, deps.scenarios),
        cpus=names.cpus(options.cpus, os.sched_getaffinity(0)),
        seed=options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big"),
        like=options.like,
        first_budget_s=None if options.at_most is None else first.budget_s,
    )


def like(deps: Dependencies, plan: Plan) -> Options:
    """The options that make this plan again."""
    family = {one.name: one.family for one in deps.scenarios}
    return Options(
        profile=plan.profile,
        backends=",".join(dict.fromkeys(arm.backend for arm in plan.arms)),
        left_out=plan.left_out,
        families=",".join(dict.fromkeys(family[name] for name in plan.scenarios if name in family)),
        cpus=",".join(map(str, plan.cpus)) or None,
        seed=plan.seed,
        budget=plan.first_budget_s or plan.budget_s,
        at_most=plan.budget_s if plan.until_decided else None,
        like=plan,
    )


def resume(deps: Dependencies, directory: Path, observer: measure.Observer) -> Ended:
    """Continue a run that was interrupted or killed, by the same plan. Raises as `start`.

    Where the measuring itself is complete, nothing is measured: what comes after it is what was cut.
    """
    require_root(deps)
    if not (directory / journal.NAME).exists():
        raise CliError(f"{directory}: has no journal of a run, so there is nothing to resume", USAGE)
    with Journal(directory / journal.NAME) as book:
        contents = journal.read(directory / journal.NAME)
        old = contents.run
        if old.status == "complete":
            if store.is_concluded(directory):
                nothing = f"{directory}: run {old.id} is complete; there is nothing to resume"
                raise CliError(f"{nothing}; show it with {command('show', directory)}", USAGE)
            if not store.is_closed(directory):
                store.close(directory, old)
            return Ended(directory=directory, run=old)
        typed = names.known(
            "backend", dict.fromkeys(arm.backend for arm in old.plan.arms), list(deps.backends)
        )
        chosen = profile(old.plan.profile)
        with (
            measuring(cache_dir(), old.plan.cpus, f"the run {directory}", observer.note),
            setup.stage(deps, typed, cache_dir(), observer.say) as stage,
        ):
            _same_place(directory, old, stage)
            run = msgspec.structs.replace(old, status="running", ended="", ended_because=None)
            book.append(RunLine(run=run))
            store.write_run(directory, run)
            _drop_gone(book, run.plan, stage, contents)
            so_far = journal.read(directory / journal.NAME)
            return _measure(deps, directory, run, stage, chosen, book, so_far, observer)


def require_root(deps: Dependencies) -> None:
    """Raise CliError without root, which even the host baseline needs, for chroot."""
    if deps.needs_root and os.geteuid() != 0:
        raise CliError(
            "measuring needs root (even the host baseline enters the image by chroot, and containers need "
            "namespaces and cgroups): run it again with sudo; "
            "`ninetynine doctor`, `judge`, `report`, `list` and `show` work without"
        )


def _planned(
    identity: str,
    plan: Plan,
    stage: setup.Stage,
    missing: Sequence[NotMeasured],
    host: Fingerprint,
    heed: Sequence[str],
) -> Run:
    return Run(
        schema=SCHEMA_VERSION,
        id=identity,
        command=tuple(sys.argv),
        started=_now(),
        ended="",
        status="running",
        plan=plan,
        host=host,
        image=setup.image_info(stage.image),
        backends=stage.infos,
        not_measured=(*stage.missing, *missing),
        versions=versions(stage.image.rootfs),
        notes=tuple(heed),
    )


def _measure(
    deps: Dependencies,
    directory: Path,
    run: Run,
    stage: setup.Stage,
    chosen: Profile,
    book: Journal,
    so_far: Contents | None,
    observer: measure.Observer,
) -> Ended:
    site = measure.Site(
        run_id=run.id,
        backends=stage.backends,
        scenarios=_by_name(deps.scenarios, run.plan),
        profile=chosen,
        scratch=stage.scratch,
        resources=_resources(deps, stage, run.plan),
        decide=functools.partial(_decide, claims.load(), run.plan),
    )
    outcome = measure.run(run.plan, site, book, so_far=so_far, observer=observer)
    observer.say("image: computing its digest again")
    ended = _ended(deps, directory, run, stage, outcome)
    book.append(RunLine(run=ended))
    book.sync()
    store.close(directory, ended)
    if deps.remembers and ended.status == "complete":
        prices.keep(cache_dir(), ended.host.machine_id, outcome.prices)
    return Ended(directory=directory, run=ended)


def _resources(deps: Dependencies, stage: setup.Stage, plan: Plan) -> dict[str, measure.Maker]:
    """What the scenarios of a family share: the wire (network), the counting registry (image)."""
    found: dict[str, measure.Maker] = {}
    if deps.wire:
        found["network"] = functools.partial(deps.wire, stage.image.rootfs, plan.cpus)
    if deps.registry:
        program = stage.image.rootfs / "opt/ninetynine/first"
        found["image"] = functools.partial(deps.registry, stage.registries, program)
    return found


def _decide(
    known: claims.Claims, plan: Plan, samples: Sequence[Sample], sessions: int, closed: Sequence[Closed]
) -> Sequence[Progress]:
    """Answer a look by the judge's own rule.

    Metrics that are only shown are left out where a scenario has others: the phases of starts are most of all
    samples, and would take most of the time of a look.
    """
    judged = {one.scenario for one in samples if one.metric not in plan.shown_only}
    asked = [one for one in samples if one.metric not in plan.shown_only or one.scenario not in judged]
    return progress(store.frame(asked), known, plan, sessions, closed)


def _within(chosen: Profile, budget_s: float | None) -> Profile:
    """Return the profile with another budget. Raises CliError (status 2) for one out of range."""
    if budget_s is None:
        return chosen
    if not names.LEAST_BUDGET_S <= budget_s <= names.MOST_BUDGET_S:
        limits = f"{names.LEAST_BUDGET_S} to {names.MOST_BUDGET_S}"
        raise CliError(f"--budget {budget_s:g}: give seconds of measuring, {limits}", USAGE)
    return msgspec.structs.replace(chosen, budget_s=budget_s)


def _until_decided(chosen: Profile, at_most_s: float | None) -> Profile:
    """Return the profile with time to go on after its budget; its core stays as long as it is.

    Raises CliError (status 2) where there is nothing to go on with.
    """
    if at_most_s is None:
        return chosen
    if not 0 < chosen.first_look <= chosen.sessions:
        raise CliError(
            f"--until-decided: the {chosen.name} profile decides nothing; use quick or full", USAGE
        )
    if not chosen.budget_s <= at_most_s <= names.MOST_BUDGET_S:
        raise CliError(
            f"--at-most {at_most_s:g} s: give at least the budget of {chosen.budget_s:g} s, at most a day",
            USAGE,
        )
    return msgspec.structs.replace(
        chosen,
        budget_s=at_most_s,
        core_s=CORE_SHARE * chosen.budget_s,
        sessions=max(chosen.sessions, UNTIL_SESSIONS),
    )


def _ended(
    deps: Dependencies, directory: Path, run: Run, stage: setup.Stage, outcome: measure.RunOutcome
) -> Run:
    """Return the run as it is at its end, with the image's digest recomputed from its bytes."""
    contents = journal.read(directory / journal.NAME)
    image = run.image
    if image is not None and outcome.status == "complete":
        image = msgspec.structs.replace(image, digest_after=_digest_after(deps, stage))
    again = repeated(contents.samples)
    took = f"measured {len(contents.done)} steps in {outcome.seconds:.0f} s, budget {run.plan.budget_s:.0f} s"
    left_out = _left_out(contents.dropped)
    return msgspec.structs.replace(
        run,
        status=outcome.status,
        ended=_now(),
        image=image,
        not_measured=(*run.not_measured, *conclude(run.plan, contents, outcome.status)),
        notes=tuple(dict.fromkeys((*run.notes, *contents.notes, *filter(None, (took, again, left_out))))),
        closed=contents.closed,
        out_of_reach=contents.out_of_reach,
        sessions_run=outcome.sessions,
        ended_because=outcome.ended_because,
    )


def _digest_after(deps: Dependencies, stage: setup.Stage) -> str:
    """Return the image's digest now, or what changed in the image."""
    try:
        return deps.digest(stage.image)
    except ImageError as error:
        return f"changed: {error}"


def _left_out(dropped: Sequence[DropLine]) -> str:
    """One note on all planned steps that were not measured, by their reason."""
    steps: Counter[str] = Counter()
    for line in dropped:
        steps[line.reason] += len(line.orders)
    parts = (f"{count} {reason}" for reason, count in steps.most_common())
    return f"planned steps not measured: {'; '.join(parts)}" if steps else ""


def _same_place(directory: Path, old: Run, stage: setup.Stage) -> None:
    """Raise StoreError if the host or the image is not the one the run began with."""
    here = fingerprint(cache_dir())
    if (here.machine_id, here.kernel) != (old.host.machine_id, old.host.kernel):
        raise StoreError(
            f"{directory}: the run began on {old.host.hostname} with kernel {old.host.kernel}, this is "
            f"{here.hostname} with {here.kernel}; a run belongs to one host, so start a new one"
        )
    if old.image is not None and old.image.digest != stage.image.digest:
        raise StoreError(
            f"{directory}: the run began with image {old.image.digest}, "
            f"the image here is {stage.image.digest}; start a new run"
        )


def _drop_gone(book: Journal, plan: Plan, stage: setup.Stage, contents: Contents) -> None:
    """Record the steps of arms that are no longer available as dropped."""
    steps = [
        step for step in plan.steps if step.arm not in stage.backends and step.order not in contents.settled
    ]
    if steps:
        arms = ", ".join(sorted({step.arm for step in steps}))
        book.append(
            DropLine(orders=tuple(step.order for step in steps), reason=f"{arms} not available on resume")
        )


def _by_name(scenarios: Sequence[Scenario], plan: Plan) -> dict[str, Scenario]:
    found = {scenario.name: scenario for scenario in scenarios}
    lost = [name for name in plan.scenarios if name not in found]
    if lost:
        raise StoreError(
            f"the plan has scenarios this version does not know: {', '.join(lost)}; start a new run"
        )
    return found


@contextlib.contextmanager
def _removed_while_empty(directory: Path) -> Iterator[None]:
    """Remove the run directory if the run fails before it measures anything."""
    try:
        yield
    except BaseException:
        book = directory / journal.NAME
        with contextlib.suppress(OSError):
            if book.exists() and not book.stat().st_size:
                book.unlink()
                book.parent.rmdir()
            directory.rmdir()
        raise


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
