"""One self-contained HTML file from a run directory."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup

from bench import store
from bench.answers.words import count, minutes, quantity, share
from reports import appendix, arms, headline, panels, questions, verdicts
from reports.bundle import csp_hash, plotly_bundle
from reports.conditions import conditions
from reports.controls import controls
from reports.downloads import downloads
from reports.load import Evidence, ReportError, load
from reports.looks import ended, looks

NAME = "report.html"


def render(run_dir: Path, out: Path | None = None) -> Path:
    """Write the report of `run_dir` to `out` (default: report.html beside the data) and return its path.

    Raises ReportError naming the file that is missing, cut off or cannot be written.
    """
    target = run_dir / NAME if out is None else out
    page = build(load(run_dir), target)
    try:
        store.write_atomically(target, page.encode(), then="and write the report again; nothing else is lost")
    except store.StoreError as error:
        raise ReportError(f"report of {run_dir}: {error}") from error
    return target


def build(evidence: Evidence, target: Path) -> str:
    """The page's HTML. `target` is where it will stand, for links to files beside it."""
    environment = _environment()
    script = _asset(environment, "page.js")
    bundle = plotly_bundle()
    return environment.get_template("page.html.j2").render(
        style=_asset(environment, "style.css"),
        script=script,
        policy=_policy(csp_hash(str(script)), bundle.csp),
        plotly=bundle,
        inks=arms.dark_inks(),
        **_view(evidence, target),
    )


@cache
def _environment() -> jinja2.Environment:
    """With the templates compiled once a process."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "json": embedded_json,
        "quantity": quantity,
        "share": share,
        "capitalize_first": capitalize_first,
    }
    return environment


def _asset(environment: jinja2.Environment, name: str) -> Markup:
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


def capitalize_first(text: str) -> str:
    """A note as a sentence; a first word that is not a word (`sha256:…`, `cpu.float`) stays as it is."""
    word = text.split(" ", 1)[0].rstrip(",;:")
    return text[:1].upper() + text[1:] if word.isalpha() else text


def _policy(*scripts: str) -> str:
    """Nothing from outside, no script but ours and plotly's. plotly writes its own style rules."""
    return (
        f"default-src 'none'; script-src {' '.join(scripts)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def embedded_json(value: Any) -> Markup:
    """JSON for a script element that is never executed; no `<` survives, so nothing can close the element."""
    text = value if isinstance(value, str) else json.dumps(value)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _view(evidence: Evidence, target: Path) -> dict[str, Any]:
    run = evidence.run
    deciding, others = questions.forests(evidence)
    return {
        "run": run,
        "banner": headline.banner(evidence),
        "controls": controls(evidence),
        "looks": looks(evidence),
        "conditions": conditions(evidence),
        "claims": verdicts.claim_views(evidence),
        "starts": [*questions.starts(evidence), *panels.phases(evidence)],
        "distributions": list(panels.distributions(evidence)),
        "forests": deciding,
        "other_forests": others,
        "shades": questions.shades(evidence),
        "sections": [
            _section(name, title, lead, list(build(evidence))) for name, title, lead, build in SECTIONS
        ],
        "order": list(panels.in_run_order(evidence)),
        "medians": panels.all_medians(evidence),
        "most_points": f"{panels.points_each(evidence):,}",
        "counts": _counts(evidence),
        "took": minutes(run.started, run.ended),
        "command": appendix.repeat(run),
        "facts": appendix.facts(run.host),
        "systems": appendix.systems(run),
        "gaps": appendix.gaps(run),
        "versions": appendix.versions(run),
        "downloads": downloads(evidence.directory, target),
        "documents": DOCUMENTS,
        "remarks": (*evidence.remarks, *_ended(evidence), *run.notes),
    }


MOST_OPEN = 2
"""Charts of a section that stand open."""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the page: its first charts, more in a fold, and lines of text for what needs none."""

    id: str
    title: str
    lead: str
    charts: tuple[panels.Panel, ...]
    more: tuple[panels.Panel, ...]
    lines: tuple[str, ...]


def _section(name: str, title: str, lead: str, found: Sequence[panels.Shown]) -> Section:
    charts = [one for one in found if isinstance(one, panels.Panel)]
    lines = tuple(one for one in found if isinstance(one, str))
    return Section(
        id=name,
        title=title,
        lead=lead,
        charts=tuple(_paired(charts[:MOST_OPEN])),
        more=tuple(_paired(charts[MOST_OPEN:])),
        lines=lines,
    )


def _ended(evidence: Evidence) -> tuple[str, ...]:
    """What ended a run that did not look at its data; of one that did, its own section says it."""
    return () if evidence.run.plan.looks else (ended(evidence),)


def _paired(found: list[panels.Panel]) -> list[panels.Panel]:
    """Panels for a grid of two columns: one that would stand alone in its row becomes wide."""
    laid: list[panels.Panel] = []
    for place, panel in enumerate(found):
        narrow_before = len(list(itertools.takewhile(lambda other: not other.wide, reversed(laid))))
        last = place + 1 == len(found) or found[place + 1].wide
        alone = not panel.wide and last and narrow_before % 2 == 0
        laid.append(msgspec.structs.replace(panel, wide=True) if alone else panel)
    return laid


SECTIONS = (
    ("memory", "Memory", "What one more instance costs the host.", panels.memory),
    (
        "network",
        "Network",
        "To one remote peer over one wire; what it gives, and what it costs the CPU.",
        panels.network,
    ),
    (
        "disk",
        "Disk",
        "What one more instance of the same image costs, and how fast its files are.",
        panels.disk,
    ),
    (
        "engine",
        "Daemons",
        "What is waited for by those who ask a daemon: the client's process and all, or the API alone.",
        panels.engines,
    ),
    (
        "image",
        "Images",
        "What moving and keeping images costs; a relay beside the registry counts the bytes.",
        panels.images,
    ),
)
DOCUMENTS = (
    ("method.md", "the statistics"),
    ("claims.md", "the claims"),
    ("metrics.md", "every metric"),
    ("errors.md", "messages and what to do"),
)


def _counts(evidence: Evidence) -> dict[str, Any]:
    lost = evidence.samples[~evidence.samples["valid"].to_numpy(dtype=bool)]
    return {
        "samples": count(len(evidence.samples), "sample"),
        "lost": len(lost),
    }
