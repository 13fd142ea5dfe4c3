"""Help pages, made from the tables that the parser reads."""

from __future__ import annotations

from runtime.cli.flags.parser import GLOBAL
from runtime.cli.start import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cli.flags.parser import Flag

_EXIT = """exit status: that of the program for run, exec and start -a, where 126 means that it cannot be
executed and 127 that it was not found; 125 for wrong flags; 1 when the daemon refused.
"""
_EXAMPLES = """examples:
  nn run -it --rm debian bash
  nn run -d --name web -p 8080:80 -v www:/srv:ro --memory 256m --restart always web
  nn logs -f web
  nn -H ssh://host ps
"""


def page(words: list[str]) -> str:
    """Return the help page of nn (no words), of a group or of a verb."""
    if not words:
        return _front()
    if words[0] in index.GROUPS and len(words) == 1:
        return _group(words[0])
    name, _ = index.split(words, local=True)
    return _verb(name)


def _front() -> str:
    lines = [
        "usage: nn [FLAGS] VERB [WORDS]",
        "",
        "Containers, images, networks and volumes of a daemon.",
        "",
    ]
    lines += ["verbs:"]
    top = [name for name in (*index.VERBS, *index.SHORT, *index.LOCAL) if " " not in name]
    lines += _columns([(name, _summary(name)) for name in sorted(top)])
    lines += ["", "verbs of a kind (`nn KIND --help`):"]
    lines += _columns([(name, f"verbs for {text}") for name, text in index.GROUPS.items()])
    lines += ["", "flags:", *_flags(GLOBAL), "", _EXAMPLES, _EXIT]
    return "\n".join(lines)


def _group(group: str) -> str:
    lines = [f"usage: nn {group} VERB [WORDS]", "", f"Verbs for {index.GROUPS[group]}.", ""]
    names = [name for name in index.VERBS if name.startswith(group + " ")]
    lines += _columns([(name.partition(" ")[2], _summary(name)) for name in names])
    return "\n".join(lines) + f"\n\nexample: nn {group} {names[0].partition(' ')[2]} --help\n"


def _verb(name: str) -> str:
    verb = index.load(name)
    shown = _flags(verb.flags)
    lines = [f"usage: nn {name} {'[FLAGS] ' if shown else ''}{verb.usage}".rstrip(), ""]
    lines += [_summary(name).capitalize() + "."]
    same = [word for word, full in (*index.SHORT.items(), *((full, full) for full in index.VERBS))
            if full == index.SHORT.get(name, name) and word != name]  # fmt: skip
    if same:
        lines += ["", "the same: " + ", ".join(f"nn {word}" for word in same)]
    if shown:
        lines += ["", "flags:", *shown]
    lines += ["", f"example: {verb.example or 'nn ' + name}"]
    return "\n".join(lines) + "\n"


def _summary(name: str) -> str:
    return index.entry(name)[2]


def _flags(flags: tuple[Flag, ...]) -> list[str]:
    rows = []
    for names, letter, kind, metavar, text in flags:
        long = ", ".join("--" + one for one in names.split("|"))
        left = (f"-{letter}, " if letter else "    ") + long + (f" {metavar}" if metavar else "")
        rows.append((left, text + (" (can be repeated)" if kind == "many" else "")))
    return _columns(sorted(rows, key=lambda row: row[0].lstrip(" -").lower()))


def _columns(rows: list[tuple[str, str]]) -> list[str]:
    width = min(34, max((len(left) for left, _ in rows), default=0))
    return [f"  {left:{width}}  {right}".rstrip() for left, right in rows]
