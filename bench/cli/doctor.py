"""The verb `doctor`: check the host, test its noise, and forecast how long a verdict takes here."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from bench import image
from bench.backends.base import BackendError, BenchImage, NotAvailable
from bench.cli import ahead, names, prices, setup, tables
from bench.cli.console import BAD, FAINT, GOOD, OPEN, err, line, out, print_json
from bench.cli.dependencies import Dependencies, cache_dir, current
from bench.cli.errors import BROKEN, COMPLETE, interruptible
from bench.host import rough, selftest, tools
from bench.host.fingerprint import host_tools
from bench.host.forecast import Forecast, MetricForecast, forecast
from bench.host.preflight import Check, host_checks, planned
from bench.host.spread import Noise
from bench.judging.rows import count
from bench.model import BackendInfo, Prices
from bench.plan import arms_for, make_plan
from bench.profiles import profile

NOISY = 4
"""Exit status: everything can be measured, but a quick run will probably end without a 1 % verdict."""

PROFILE, ARM = "quick", "runtime"
ROOT = Path("/")
_BUSY = ("load", "pressure cpu", "steal", "other work")
_STYLE = {"ok": GOOD, "warn": OPEN, "bad": BAD, "unknown": FAINT}


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """What `doctor --json` prints. noise, forecast: null with --quick."""

    cpus: tuple[int, ...]
    checks: tuple[Check, ...]
    noise: Noise | None
    forecast: Forecast | None


def diagnose(quick: bool, seconds: float, cpus: str | None, everything: bool, as_json: bool) -> int:
    """Check the host, measure its noise unless `quick`, print both; return the exit status."""
    deps, cache = current(), cache_dir()
    chosen = names.cpus(cpus, os.sched_getaffinity(0)) if cpus else planned()
    checks = tuple(all_checks(deps, cache, chosen))
    with interruptible():
        noise = None if quick else self_test(deps, cache, chosen, seconds, quiet=as_json)
    noise = noise and _beside_others(noise, checks)
    found = Diagnosis(
        cpus=chosen,
        checks=checks,
        noise=noise,
        forecast=None if noise is None else forecast_of(deps, noise, chosen, prices.known(deps, cache)),
    )
    if as_json:
        print_json(found)
    else:
        _show(out(), found, everything)
    if any(one.state == "bad" for one in checks):
        return BROKEN
    return NOISY if found.forecast is not None and not found.forecast.fits else COMPLETE


def all_checks(deps: Dependencies, cache: Path, cpus: Sequence[int]) -> Iterator[Check]:
    """Check the host, its tools, KVM and the backends."""
    yield from host_checks(cache, ROOT, cpus)
    yield from tools.checks(host_tools())
    probed = setup.probe_all(deps, cache)
    if "vm" in probed:
        found = probed["vm"]
        accelerator = found.accelerator or None if isinstance(found, BackendInfo) else None
        yield tools.kvm(ROOT, accelerator, "" if isinstance(found, BackendInfo) else found.reason)
    yield from setup.backend_checks(probed)


def self_test(
    deps: Dependencies, cache: Path, cpus: tuple[int, ...], seconds: float, *, quiet: bool
) -> Noise:
    """Measure the noise: with the suite's own slices if the image is built, else with built-in work."""
    with _bar(err(), quiet) as tell:
        try:
            return _with_image(deps, cache, cpus, seconds, tell)
        except _NoImageError as reason:
            noise = rough.run(seconds, tell)
            return msgspec.structs.replace(noise, trouble=(str(reason), *noise.trouble))


def _beside_others(noise: Noise, checks: Sequence[Check]) -> Noise:
    """Note in the result if other work was running: it explains the noise and should end first."""
    busy = [one.name for one in checks if one.name in _BUSY and one.state == "warn"]
    if not busy:
        return noise
    words = f"measured while other work ran ({', '.join(busy)}); without it there is less noise"
    return msgspec.structs.replace(noise, trouble=(words, *noise.trouble))


class _NoImageError(Exception):
    """The suite's own slices cannot run; the message says why."""


def _with_image(
    deps: Dependencies, cache: Path, cpus: tuple[int, ...], seconds: float, tell: selftest.Tell
) -> Noise:
    """Raises _NoImageError without root, image or host backend."""
    backend = deps.backends["host"](cache / "backends")
    found = setup.probe_one(backend)
    if isinstance(found, NotAvailable):
        raise _NoImageError(f"rough, since the host backend is not available: {found.reason}")
    built = image_there(deps, cache)
    if built is None:
        raise _NoImageError("rough, since the bench image is not built yet (the first run builds it)")
    tell(0.0, "preparing the image")
    try:
        backend.prepare(built)
        return ahead.noise(deps, backend, built, cpus, seconds, tell)
    except BackendError as error:
        raise _NoImageError(f"rough, since the host's instances do not start: {error}") from error
    finally:
        backend.cleanup()


def image_there(deps: Dependencies, cache: Path) -> BenchImage | None:
    """Return the image if it is built; building it may take half a minute and a network."""
    if deps.build_image is image.build and not image.is_built(cache):
        return None
    return deps.build_image(cache, lambda text: None)


def forecast_of(
    deps: Dependencies, noise: Noise, cpus: tuple[int, ...], known: Prices | None = None
) -> Forecast:
    """Forecast a quick run of the host and the runtime over the families of the self-test. known: prices."""
    chosen = profile(PROFILE)
    offered = [one for one in deps.scenarios if one.family in selftest.FAMILIES] or list(deps.scenarios)
    arms = arms_for({ARM: BackendInfo(name=ARM, kind="container", version="")})
    plan = make_plan(chosen, 0, arms, offered, cpus=cpus, prices=known)
    return forecast(noise, plan, {one.name: one for one in offered}, chosen, ARM)


@contextlib.contextmanager
def _bar(console: Console, quiet: bool) -> Iterator[Callable[[float, str], None]]:
    if quiet or not console.is_terminal:
        yield lambda share, words: None
        return
    columns = (TextColumn("self-test: {task.description:<34}"), BarColumn(bar_width=None))
    # Drawn between slices only: a bar that moves by itself is a thread that disturbs them.
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda share, words: progress.update(task, completed=share, description=words, refresh=True)


def answer(found: Diagnosis) -> str:
    """Whether this host can measure, how long a verdict takes, and how much is to be heeded."""
    bad = [one.name for one in found.checks if one.state == "bad"]
    warnings = sum(one.state == "warn" for one in found.checks)
    ahead = found.forecast
    if ahead is None:
        verdict = "Noise: not tested (--quick)"
    elif ahead.minutes is None:
        verdict = "A verdict on 1 %: out of reach on a host as noisy as it is now"
    else:
        verdict = f"A verdict on 1 %: in about {max(1, round(ahead.minutes))} min of measuring"
    can = f"no ({', '.join(bad)})" if bad else "yes"
    return f"Can measure: {can}. {verdict}. {count(warnings, 'warning') if warnings else 'No warnings'}."


def _show(console: Console, found: Diagnosis, everything: bool) -> None:
    """Print the answer, what to heed (or all checks), and the noise."""
    line(answer(found), "bold", console)
    shown = [one for one in found.checks if everything or one.state in ("bad", "warn")]
    shown.sort(key=lambda one: one.state != "bad")  # what prevents measuring first
    rows = [
        (
            f"[{_STYLE[one.state]}]{one.state}[/]",
            one.name,
            *map(tables.plainly, (one.found, one.effect, one.fix)),
        )
        for one in shown
    ]
    if rows:
        console.print()
        tables.plain(console, ("state", "check", "found", "effect on metrics", "fix"), rows)
    if rest := len(found.checks) - len(shown):
        line(f"{count(rest, 'check')} more: fine, or not to be seen here (doctor --all)", FAINT, console)
    if found.noise is not None and found.forecast is not None:
        _show_noise(console, found.noise, found.forecast)


def _show_noise(console: Console, noise: Noise, ahead: Forecast) -> None:
    console.print()
    kind = "host against host, the suite's own slices" if noise.kind == "image" else "ROUGH: built-in work"
    console.print(f"self-test ({kind}, {noise.seconds:.0f} s)", style="bold", highlight=False)
    for trouble in noise.trouble:
        line(f"! {trouble}", console=console)
    rows = [
        (
            one.metric,
            f"{one.pairs} in {one.sessions}",
            f"{one.within:.2%}",
            f"{one.between:.2%}",
            *_times(next((each for each in ahead.metrics if each.metric == one.metric), None)),
        )
        for one in noise.spreads
    ]
    heads = (
        "metric",
        "pairs in sessions",
        "noise of a pair",
        "noise of a session",
        "sessions",
        "minutes to a 1 % verdict",
    )
    tables.plain(console, heads, rows)
    console.print()
    line(_sentence(ahead), console=console)


def _times(one: MetricForecast | None) -> tuple[str, str]:
    if one is None or one.sessions is None or one.minutes is None:
        return "", "out of reach" if one is not None else ""
    most = f" (9 of 10 runs: {one.minutes_most:.1f})" if one.minutes_most is not None else ""
    return f"{one.sessions:.0f}", f"{one.minutes:.1f}{most}"


def _sentence(ahead: Forecast) -> str:
    what = f"`ninetynine run --backends host,{ARM} --families {','.join(ahead.families)}`"
    if ahead.minutes is None:
        return f"{what}: a verdict on 1 % is out of reach on a host as noisy as this one; quieten it first"
    most = f", in 9 runs of 10 by {ahead.minutes_most:.1f}" if ahead.minutes_most is not None else ""
    budget = f"the profile has {ahead.budget_minutes:.1f} minutes, enough in {ahead.share:.0%} of runs"
    decided = f"every metric is decided at 1 % after {ahead.minutes:.1f} minutes of measuring{most}"
    return f"{what}: {decided}; {budget}"
