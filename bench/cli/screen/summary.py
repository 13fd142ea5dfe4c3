"""What a run found on one screen: at most 40 lines where a terminal has 80 columns.

From the top: the sentence to quote, the two questions, every sentence under test for every system, the
metrics that decided, what limits all this, and how to go on.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from rich.text import Text

from bench.answers.headline import SPEED, START, Headline
from bench.answers.metric_names import metric_words, plain_metric
from bench.answers.sentences import Answer, Sentence, Word, amount, between, bound
from bench.answers.words import NBSP, count, minutes
from bench.answers.words import listed as joined
from bench.cli.console import FAINT
from bench.cli.screen import commands
from bench.cli.screen.found import Found
from bench.cli.screen.layout import SIGN, STYLE, chunks, line, pasteable, wrapped
from bench.cli.screen.limits import limits
from bench.model import ALL, Verdict

LINES = 40
WIDE = 72
"""From so many columns on the table shows limits, and a finding stands on one line."""

_NARROW_ROOM = 20
"""Lines for what decided on a terminal that is too narrow for one screen."""

_LEAST_NAME = 12
"""Columns of a sentence's name where a terminal has no room for more."""

_QUESTIONS = ((START, "Starts in 1 s?"), (SPEED, "99 % of the host?"))
_WORDS = {
    "supported": "YES",
    "refuted": "NO",
    "inconclusive": "OPEN",
    "not measured": "NOT MEASURED",
}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the verdicts under the sentence that it decides."""

    sentence: Sentence
    answer: Answer
    row: Verdict

    @property
    def rank(self) -> int:
        """Refuted before open before supported."""
        return ("refuted", "inconclusive", "supported", "not measured").index(self.row.verdict)


def one_screen(found: Found, width: int) -> list[Text]:
    """The screen. Where a terminal is narrower than 80 columns it may be longer."""
    said = found.said()
    style = "bold" if said.valid else f"bold {STYLE[said.state]}"
    top = [*heading(found, width), line(), *wrapped(said.text, width, style=style), line()]
    if said.valid:
        answered = found.sentences()
        top += [*_questions(found, said, answered, width), line()]
        top += [*_matrix(found, answered, width), line()]
    foot = [*limits(found, width), *_onward(found, width)]
    if not said.valid:
        return [*top, *foot]
    room = LINES - len(top) - len(foot) - 1 if width >= 80 else _NARROW_ROOM
    decided = _decided(found, said, answered, width, room)
    lines = [*top, *decided, *([line()] if decided else []), *foot]
    while width >= 80 and len(lines) > LINES and any(not one.plain for one in lines):
        lines.pop(max(place for place, one in enumerate(lines) if not one.plain))
    return lines


def heading(found: Found, width: int) -> list[Text]:
    """Which run, of what, and where."""
    run, host = found.run, found.run.host
    took = minutes(run.started, run.ended)
    sessions = count(run.sessions_run or 0, "session")
    state = "" if found.status == "complete" else f", {found.status}"
    parts = [f"{run.plan.profile} run {run.id}{state}", *([took] if took else []), sessions]
    machine = f"{host.cpus} x {host.cpu_model}, Linux {host.kernel}, cgroups {host.cgroup_layout}"
    guests = [found.labels().label(arm) for arm in run.plan.systems if found.labels().is_vm(arm)]
    return [
        *wrapped(", ".join(parts), width, style="bold"),
        *wrapped(machine + "".join(f", {guest}" for guest in guests), width, style=FAINT),
    ]


def _questions(found: Found, said: Headline, answered: tuple[Sentence, ...], width: int) -> Iterator[Text]:
    """The two questions that everybody comes with, each with its own worst number and interval."""
    for claim, question in _QUESTIONS:
        sentence = next((one for one in answered if one.claim.id == claim), None)
        answer = sentence.of(said.subject) if sentence else None
        if sentence is None or answer is None or answer.state == "not asked":
            continue
        word = _WORDS[answer.state]
        told = f"{question:<18}{word:<4} "
        text = _worst(sentence, answer)
        lines = wrapped(text, width, told, " " * min(len(told), width // 3))
        start = told.index(word)
        lines[0].stylize(f"bold {STYLE[answer.state]}", start, start + len(word))
        yield from lines


def _worst(sentence: Sentence, answer: Answer) -> str:
    """The worst number with its own interval, what it is of, and how far the answer goes."""
    row = answer.row
    if row is None or answer.state in ("not measured", "not asked"):
        return answer.reason
    span = between(sentence.claim, row)
    text = f"{amount(sentence.claim, row.estimate)}{f' ({span})' if span else ''}"
    text += f": {metric_words(plain_metric(row.metric))}"
    if answer.state == "inconclusive" or answer.left_out:
        text += f"; {answer.tally.get('supported', 0)} of {count(len(answer.asked), 'metric')} supported"
    lacking = dict.fromkeys(name.partition(".")[0] for name in answer.left_out)
    return f"{text}; {joined(list(lacking))} not asked" if lacking else text


def _matrix(found: Found, answered: tuple[Sentence, ...], width: int) -> list[Text]:
    """Sentences × systems, in as many blocks as the width needs."""
    labels, systems = found.labels(), found.systems()
    rows = [one for one in answered if _states(one) - {"not asked", "not measured"}]
    if not rows:
        return []
    heads = [labels.brief(name) + "*" * labels.is_emulated(name) for name in systems]
    cells = [[_cell(one, _of(one, name)) for name in systems] for one in rows]
    whole = [_cell(one, one.of(ALL)) for one in rows]
    widths = [max(len(head), *(len(row[place][0]) for row in cells)) for place, head in enumerate(heads)]
    names = [one.claim.short or one.claim.sentence for one in rows]
    limits = [_compact(bound(one.claim)) for one in rows]
    left = _left(names, widths, width)
    gap = 2 if left + sum(widths) + 2 * len(widths) <= width else 1
    limit = _limit(limits, left + sum(widths) + gap * len(widths), width)
    found_lines: list[Text] = []
    for block in chunks([gap + one for one in widths], width - left - limit):
        title = "".join(" " * gap + f"{heads[place]:<{widths[place]}}" for place in block)
        found_lines.append(line((" " * (left + limit) + title, "bold")))
        for number, name in enumerate(names):
            first = f"{_cut(name, left):<{left}}" + (f"{limits[number]:>{limit}}" if limit else "")
            given = [(cells[number][place], widths[place]) for place in block]
            if whole[number][0]:  # the answer is of no system alone
                given = [(whole[number], 0)] if block.start == 0 else []
            parts = [part for cell, wide in given for part in (" " * gap, (f"{cell[0]:<{wide}}", cell[1]))]
            if any(cell[0] for cell, _ in given):  # a block has the sentences that speak of its systems
                found_lines.append(line(first, *parts))
    return [*found_lines, *_legend(found, width)]


def _left(names: list[str], systems: list[int], width: int) -> int:
    """Columns of the names, which are cut only where not even one system has room beside them."""
    return min(max(map(len, names)), max(_LEAST_NAME, width - max(systems, default=0) - 1))


def _limit(limits: list[str], used: int, width: int) -> int:
    """Columns of the limits: none where systems need the room."""
    limit = 2 + max(map(len, limits))
    return limit if width >= WIDE and used + limit <= width else 0


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _legend(found: Found, width: int) -> list[Text]:
    emulated = any(map(found.labels().is_emulated, found.run.plan.systems))
    note = "  * emulated, not VMs in general" if emulated else ""
    return wrapped(f"+ supported  - refuted  ? open  . not measured{note}", width, style=FAINT)


def _of(sentence: Sentence, system: str) -> Answer | None:
    """The answer about a system; against several baselines, the last one counts."""
    return next((one for one in reversed(sentence.answers) if one.arm == system), None)


def _states(sentence: Sentence) -> set[Word]:
    return {answer.state for answer in sentence.answers}


def _cell(sentence: Sentence, answer: Answer | None) -> tuple[str, str]:
    """(sign and number, style)."""
    if answer is None:
        return "", ""
    row = answer.row
    number = _compact(amount(sentence.claim, row.estimate)) if row and answer.state != "not asked" else ""
    return f"{SIGN[answer.state]} {number}".rstrip(), STYLE[answer.state]


def _compact(text: str) -> str:
    return (
        text.replace("at most ", "<= ")
        .replace("at least ", ">= ")
        .replace("\u00a0times", "x")
        .replace("\u00a0", " ")
    )


def _decided(
    found: Found, said: Headline, answered: tuple[Sentence, ...], width: int, room: int
) -> list[Text]:
    """What decided: each metric of the headline's system, of other systems the worst of each sentence."""
    labels = found.labels()
    listed_ = sorted(
        (
            Finding(sentence=sentence, answer=answer, row=row)
            for sentence in answered
            for answer in sentence.answers
            if answer.state not in ("not asked", "not measured")
            for row in _told(answer, said.subject)
        ),
        key=lambda one: (one.rank, one.answer.arm != said.subject, labels.is_emulated(one.answer.arm)),
    )
    lines: list[Text] = []
    if room < 1:
        return lines
    for number, one in enumerate(listed_):
        more = finding(found, one, width)
        last = number == len(listed_) - 1
        if len(lines) + len(more) > room - (0 if last else 1):
            return [*lines, line((f"  {len(listed_) - number} more: show --all", FAINT))]
        lines += more
    return lines


def _told(answer: Answer, subject: str) -> list[Verdict]:
    """Of the headline's system all that is not supported, of others the worst."""
    if answer.row is None:
        return []
    if answer.arm != subject:
        return [answer.row]
    worse = [row for row in answer.rows if row.verdict in ("refuted", "inconclusive")]
    return worse or [answer.row]


def finding(found: Found, one: Finding, width: int) -> list[Text]:
    """A metric with its number, interval and sessions; on two lines where one is too short."""
    row = one.row
    who = found.labels().brief(row.arm)
    beside = "" if row.baseline in ("", found.run.plan.baseline) else f" against {row.baseline}"
    what = f"{metric_words(row.metric)}{beside}"
    number, span = amount(one.sentence.claim, row.estimate), between(one.sentence.claim, row)
    values = f"{number:>9}{f'  {span}' if span else ''}".replace(NBSP, " ")
    sessions = f"  {row.n_sessions} sess." if row.n_sessions else ""
    sign, style = SIGN[row.verdict], STYLE[row.verdict]
    first = f" {who:<10}{what}"
    if 1 + len(first) + len(values) + 2 <= width and width >= WIDE:
        gap = max(2, 48 - len(first)) if 1 + 48 + len(values) <= width else 2
        tail = sessions if 1 + len(first) + gap + len(values) + len(sessions) <= width else ""
        return [line((sign, style), first, " " * gap, (values, style), (tail, FAINT))]
    return [
        *wrapped(what, width, f"{sign} {who:<10}"),
        line("     ", (values.strip(), style), (sessions, FAINT)),
    ]


def _onward(found: Found, width: int) -> list[Text]:
    """The page and the commands that go on from here."""
    lines = [line("page    ", str(found.page))] if found.page is not None else []
    lines += pasteable("more    ", commands.show_all(found.directory), width)
    if found.status in ("interrupted", "running"):
        return [*lines, *pasteable("go on   ", commands.resume(found.directory), width)]
    return [*lines, *pasteable("repeat  ", commands.repeat(found.directory), width)]
