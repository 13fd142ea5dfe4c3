"""The summaries in docs/cli.md: real runs, kept beside this file without what a summary does not read.

`python -m tests.docs.summary NAME RUN` keeps a run directory as NAME and writes its summary into the page;
without arguments it writes the kept ones anew.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from unittest import mock

import msgspec

from bench import claims, store
from bench.cli import console
from bench.cli.screen.found import Found
from bench.cli.screen.summary import one_screen
from tests.paths import REPOSITORY

PAGE = REPOSITORY / "docs" / "cli.md"
KEPT = Path(__file__).with_name("runs")
FAMILIES = ("startup", "cpu", "memory", "network", "disk", "engine", "image")
WIDTHS = (80, 60)


def keep(name: str, run: Path) -> None:
    """Keep what a summary reads of a run."""
    loaded = store.load(run)
    shutil.rmtree(KEPT / name, ignore_errors=True)
    (KEPT / name).mkdir(parents=True)
    plan = msgspec.structs.replace(loaded.run.plan, steps=())
    host = msgspec.structs.replace(loaded.run.host, machine_id="", hostname="", tools={})
    bare = msgspec.structs.replace(
        loaded.run,
        plan=plan,
        host=host,
        command=(),
        backends=(),
        image=None,
        closed=(),
        versions={},
        notes=(),
    )
    (KEPT / name / store.RUN).write_bytes(msgspec.json.encode(bare))
    (KEPT / name / store.VERDICTS).write_bytes(msgspec.json.encode(store.load_verdicts(run)))
    samples = loaded.samples
    kept = samples[~samples.duplicated(["order", "take"]) | ~samples.duplicated("metric")]
    kept.to_parquet(KEPT / name / store.SAMPLES, compression="zstd", index=False)


def rendered(name: str, width: int) -> str:
    """The summary of a kept run, as it stood in the terminal of whoever measured."""
    loaded = store.load(KEPT / name)
    directory = Path("results") / loaded.run.id
    found = Found(
        directory=directory,
        run=loaded.run,
        status=loaded.run.status,
        claims=claims.load(),
        verdicts=tuple(store.load_verdicts(KEPT / name)),
        samples=loaded.samples,
        families=FAMILIES,
        page=directory / store.REPORT,
    )
    with mock.patch.object(console, "program", lambda: ".venv/bin/ninetynine"):
        lines = one_screen(found, width)
    return "\n".join(line.plain.rstrip() for line in lines) + "\n"


def block(name: str, width: int) -> re.Pattern[str]:
    """Where the summary of a run stands in the page."""
    return re.compile(rf"(<!-- summary {name} {width} -->\n```text\n).*?(```\n<!-- end -->)", re.S)


def write() -> None:
    """Write all summaries into the page."""
    page = PAGE.read_text()
    for run in sorted(KEPT.iterdir()):
        for width in WIDTHS:
            text = rendered(run.name, width)
            page = block(run.name, width).sub(lambda found, text=text: found[1] + text + found[2], page)
    PAGE.write_text(page)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        keep(sys.argv[1], Path(sys.argv[2]))
    write()
