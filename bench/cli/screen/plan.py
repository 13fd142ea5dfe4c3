"""What `run --dry-run` shows."""

from __future__ import annotations

from rich.text import Text

from bench.answers.words import listed
from bench.cli.ahead import Preview
from bench.cli.console import OPEN, command
from bench.cli.screen.layout import line, pasteable, wrapped
from bench.host.check import cpu_list


def lines(found: Preview, command_line: str, width: int) -> list[Text]:
    """The run as it would be. command_line: the command that measures it."""
    look = f"; the first look at the data after {found.first_look}" if found.first_look else ""
    systems, families = listed(list(found.backends)), listed(list(found.families))
    parts = {
        "measures": f"{systems} on CPUs {cpu_list(found.cpus)}: {families}",
        "takes": f"{_takes(found)} in at most {found.sessions} sessions of fresh instances{look}; about "
        f"{found.afterwards_s:.0f} s more for verdicts and page, and before it the preparing of the images",
    }
    text = [line(f"dry run: profile {found.profile}, seed {found.seed}; nothing was measured")]
    for name, words in parts.items():
        text += wrapped(words, width, f"{name:<10}")
    for gap, metrics in _gaps(found).items():
        text += wrapped(
            f"{gap[0]}: {gap[1]}{f' ({len(metrics)} metrics)' if metrics else ''}", width, "without   "
        )
    for warning in found.warnings:
        text += wrapped(warning, width, "! ", style=OPEN)
    noise = "how noisy this host is, and what it is too noisy to tell:"
    text += [*wrapped(noise, width, "unknown   "), *pasteable("          ", command("doctor"), width)]
    return [*text, *pasteable("start     ", command_line, width)]


def _takes(found: Preview) -> str:
    least = _minutes(found.least_s)
    if found.least_s > found.seconds:
        return f"about {least} of measuring, whatever the budget,"
    return f"up to {_minutes(found.seconds)} of measuring (at least {least})"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _gaps(found: Preview) -> dict[tuple[str, str], list[str]]:
    groups: dict[tuple[str, str], list[str]] = {}
    for gap in found.not_measured:
        groups.setdefault((gap.arm, gap.reason), []).extend([gap.metric] if gap.metric else [])
    return groups
