"""Make the named backends ready to start: sweep, probe, build the image, prepare. One function per phase.

A backend that fails becomes NotMeasured with the reason, whatever it raises: a bug in one system must not
prevent measuring the others. Only the host is indispensable.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.backends.base import Backend, BenchImage, EngineBackend, InstanceSpec, NotAvailable
from bench.backends.resources import owned
from bench.cli.dependencies import Dependencies
from bench.cli.errors import CliError
from bench.host.check import Check, Topic
from bench.model import ArmPlan, BackendInfo, ImageInfo, NotMeasured
from bench.plan import Excluded, arms_for, too_slow
from bench.profiles import Profile
from bench.scenarios.base import Scenario, error_text

Say = Callable[[str], None]

REGISTRIES = "registries"
"""Below the cache: the registries that runs transfer images with, one directory per process."""


class Crew(msgspec.Struct, kw_only=True):
    """The arms of a run and their backends, by arm; `host` and `host-b` share one."""

    arms: tuple[ArmPlan, ...]
    backends: dict[str, Backend]


class Stage(Crew, kw_only=True):
    """What is ready, and what is missing.

    scratch: a directory of this process, for the arms' volumes. registries: the parent of the
    directories in which runs keep their counting registries.
    """

    infos: tuple[BackendInfo, ...]
    image: BenchImage
    scratch: Path
    registries: Path
    missing: list[NotMeasured]


@contextmanager
def stage(deps: Dependencies, names: Sequence[str], cache: Path, say: Say) -> Iterator[Stage]:
    """Yield backends that are ready to start; clean up however the block ends.

    Raises CliError when the host itself is not ready.
    """
    made = {name: make(cache / "backends") for name, make in deps.backends.items()}
    scratch = cache / "scratch"
    for parent in (scratch, cache / REGISTRIES):
        for forgotten in owned.abandoned(parent):
            shutil.rmtree(forgotten, ignore_errors=True)
    try:
        yield _ready(deps, made, names, cache, say)
    finally:
        sweep(made, deps.sweep_wire, say)
        shutil.rmtree(owned.path(scratch), ignore_errors=True)


def _ready(
    deps: Dependencies, made: dict[str, Backend], names: Sequence[str], cache: Path, say: Say
) -> Stage:
    sweep(made, deps.sweep_wire, say)
    infos, missing = probe({name: made[name] for name in names}, say)
    _require(names, infos, missing)
    image = deps.build_image(cache, lambda text: say(f"image: {text}"))
    for name in list(infos):
        say(f"{infos[name].name}: preparing the image")
        try:
            made[name].prepare(image)
        except Exception as error:
            missing.append(
                NotMeasured(arm=infos.pop(name).name, metric="", reason=f"prepare: {error_text(error)}")
            )
    _require(names, infos, missing)
    ready = crew(made, infos)
    return Stage(
        arms=ready.arms,
        backends=ready.backends,
        infos=tuple(infos.values()),
        image=image,
        scratch=owned.path(cache / "scratch"),
        registries=cache / REGISTRIES,
        missing=missing,
    )


def crew(made: Mapping[str, Backend], infos: Mapping[str, BackendInfo]) -> Crew:
    """The arms of what was found. made: backends by the name that the user types."""
    arms = arms_for(infos)
    return Crew(arms=arms, backends={arm.name: made[arm.backend] for arm in arms})


def _require(names: Sequence[str], infos: Mapping[str, BackendInfo], missing: Sequence[NotMeasured]) -> None:
    """Raise CliError if the host is not available, or none of the other requested backends is."""
    if "host" not in infos:
        reasons = "; ".join(item.reason for item in missing if item.arm == "host")
        raise CliError(f"the host backend is the baseline of everything and is not available: {reasons}")
    reasons = "; ".join(f"{item.arm}: {item.reason}" for item in missing)
    if len(names) > 1 and len(infos) == 1:
        raise CliError(
            f"none of the backends to be measured is available here: {reasons}; see `ninetynine doctor`"
        )


def sweep(backends: Mapping[str, Backend], sweep_wire: Callable[[], object], say: Say) -> None:
    """Free what earlier runs left after a kill -9. A failure is reported and does not stop the run."""
    try:
        sweep_wire()
    except Exception as error:
        say(f"wire: could not sweep leftovers: {error_text(error)}")
    for name, backend in backends.items():
        try:
            backend.cleanup()
        except Exception as error:
            say(f"{name}: could not sweep leftovers: {error_text(error)}")


def probe(backends: Mapping[str, Backend], say: Say) -> tuple[dict[str, BackendInfo], list[NotMeasured]]:
    """Probe each backend; return infos by typed name, and why the others are not available."""
    infos: dict[str, BackendInfo] = {}
    missing: list[NotMeasured] = []
    for name, backend in backends.items():
        say(f"{name}: probing")
        found = probe_one(backend)
        if isinstance(found, NotAvailable):
            missing.append(NotMeasured(arm=name, metric="", reason=found.reason))
        else:
            infos[name] = found
    return infos, missing


def probe_one(backend: Backend) -> BackendInfo | NotAvailable:
    """Probe one backend; any exception counts as not available."""
    try:
        return backend.probe()
    except Exception as error:
        return NotAvailable(reason=f"probe: {error_text(error)}")


def probe_all(deps: Dependencies, cache: Path) -> dict[str, BackendInfo | NotAvailable]:
    """Probe each backend; return the answers by the name a user types."""
    return {name: probe_one(make(cache / "backends")) for name, make in deps.backends.items()}


def backend_checks(probed: dict[str, BackendInfo | NotAvailable]) -> list[Check]:
    """Return one check per backend: its version, or why it is not available."""
    checks: list[Check] = []
    for name, found in probed.items():
        about = Topic(f"backend {name}", f"{name}: not measured if not available")
        if isinstance(found, NotAvailable):
            fix = "follow the reason, or measure the others"
            checks.append(about("bad" if name == "host" else "warn", found.reason, fix))
        else:
            limits = f"; limits: {', '.join(found.limits)}" if found.limits else ""
            checks.append(about("ok", f"{found.name}: {found.version}{limits}"))
    return checks


def exclusions(
    stage: Crew, scenarios: Sequence[Scenario], cpus: tuple[int, ...], profile: Profile
) -> tuple[Excluded, list[NotMeasured]]:
    """Return the (arm, scenario) pairs to leave out, and the metrics that are therefore not measured."""
    reasons: dict[tuple[str, str], str] = {}
    foreign: set[tuple[str, str]] = set()
    for scenario in scenarios:
        spec = msgspec.structs.replace(scenario.spec, cpus=cpus)
        for arm in stage.arms:
            if _is_foreign(stage.backends[arm.name], spec):
                foreign.add((arm.name, scenario.name))
            elif (reason := _unsupported(stage.backends[arm.name], spec)) is not None:
                reasons[arm.name, scenario.name] = reason
            elif scenario.family in profile.left_out.get(arm.backend, ()):
                reason = (
                    f"no time: left out of the {profile.name} profile for {arm.name}; "
                    f"run --backends {arm.backend} or --profile full"
                )
                reasons[arm.name, scenario.name] = reason
    for arm_name, scenario_name in too_slow(profile, stage.arms, scenarios, frozenset(reasons) | foreign):
        reason = f"left out of the {profile.name} profile, because {arm_name} is slow; run --profile full"
        if (arm_name, scenario_name) not in foreign:
            reasons.setdefault((arm_name, scenario_name), reason)
    missing = [
        NotMeasured(arm=arm.name, metric=metric.name, reason=reasons[arm.name, scenario.name])
        for scenario in scenarios
        for arm in stage.arms
        if not arm.is_control  # a control lacks what the arm it copies lacks
        and (arm.name, scenario.name) in reasons
        for metric in scenario.metrics
    ]
    return frozenset(reasons) | foreign, missing


def _is_foreign(backend: Backend, spec: InstanceSpec) -> bool:
    """Whether a scenario is about daemons and the system has none; then nothing is missing."""
    return spec.engine and not isinstance(backend, EngineBackend)


def _unsupported(backend: Backend, spec: InstanceSpec) -> str | None:
    try:
        return backend.unsupported(spec)
    except Exception as error:
        return f"unsupported: {error_text(error)}"


def image_info(image: BenchImage) -> ImageInfo:
    """Return the image's identity for the result."""
    return ImageInfo(
        reference=image.reference, digest=image.digest, layers=image.layer_digests, source=image.source
    )
