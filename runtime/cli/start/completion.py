"""Shell completion: scripts for three shells, which call `nn __complete WORDS…` for the candidates."""

from __future__ import annotations

from runtime.cli.connection.client import Client, find
from runtime.cli.errors import CliError
from runtime.cli.flags import parser
from runtime.cli.flags.parser import GLOBAL, Verb
from runtime.cli.start import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.cli.flags.parser import CommandLine, Flag

_BASH = """_nn() {
    local IFS=$'\\n' words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    COMPREPLY=($(nn __complete "${words[@]}" 2>/dev/null))
    if [ ${#COMPREPLY[@]} -eq 0 ]; then compopt -o default; fi
    if [[ ${COMPREPLY[0]} == *= || ${COMPREPLY[0]} == *: ]]; then compopt -o nospace; fi
    if [[ ${COMP_WORDS[COMP_CWORD]} == *:* ]] && type __ltrim_colon_completions >/dev/null 2>&1; then
        __ltrim_colon_completions "${COMP_WORDS[COMP_CWORD]}"
    fi
}
complete -F _nn nn
"""
_ZSH = """#compdef nn
_nn() {
    local -a found
    found=("${(@f)$(nn __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
}
if [ "$funcstack[1]" = "_nn" ]; then _nn "$@"; else compdef _nn nn; fi
"""
_FISH = """function __nn_complete
    set -l words (commandline -opc)
    nn __complete $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c nn -n 'test (count (__nn_complete)) -gt 0' -f -a '(__nn_complete)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

_LISTS = {
    "CONTAINER": "containers",
    "IMAGE": "images",
    "NETWORK": "networks",
    "VOLUME": "volumes",
    "NAME": "contexts",
    "SOURCE": "containers",
}
"""First word of a verb's usage → which objects are listed."""


def completion(_client: Client, args: CommandLine) -> int:
    """Print the script for a shell."""
    shell = args.words[0]
    if shell not in SCRIPTS:
        raise CliError(f"no completion for {shell}; choose from {', '.join(SCRIPTS)}")
    print(SCRIPTS[shell], end="")
    return 0


def complete(client: Client, args: CommandLine) -> int:
    """Print the candidates for the last word, one a line. Errors print nothing, since a shell reads this."""
    try:
        words = args.words or [""]
        last = words[-1]
        given = _globals(words[:-1])
        if given.given("host") or given.given("context"):
            client = Client(find(given.text("host"), given.text("context")))
        for found in sorted(set(candidates(client, words[:-1], last))):
            if found.startswith(last):
                print(found)
    except CliError:
        pass
    return 0


def candidates(client: Client, before: list[str], last: str) -> Iterator[str]:
    """Yield the words that may follow `before`."""
    words = _globals(before).words
    if not words:
        yield from (name for name in (*index.VERBS, *index.SHORT, *index.GROUPS) if " " not in name)
        yield from _flag_names(GLOBAL) if last.startswith("-") else ()
        return
    if words[0] in index.GROUPS and len(words) == 1:
        names = [name for name in (*index.VERBS, *index.SHORT) if name.startswith(words[0] + " ")]
        yield from (name.partition(" ")[2] for name in names)
        return
    name, rest = index.split(words)
    verb = index.load(name)
    if last.startswith("-"):
        yield from _flag_names(verb.flags)
        return
    value = _flag_before(verb, rest)
    if value is not None:
        yield from _values(client, value)
        return
    yield from _objects(client, index.SHORT.get(name, name), verb)


def _globals(before: list[str]) -> CommandLine:
    """Parse the flags before the verb; words: from the verb on."""
    return parser.parse_flags("", GLOBAL, before, program=True)


def _flag_names(table: tuple[Flag, ...]) -> list[str]:
    return ["--" + one for flag in table for one in flag[0].split("|")]


def _flag_before(verb: Verb, rest: list[str]) -> Flag | None:
    """Return the flag whose value comes next, None for none."""
    last = rest[-1] if rest else ""
    for flag in verb.flags:
        long = last.startswith("--") and "=" not in last and last[2:] in flag[0].split("|")
        short = bool(flag[1]) and last[:1] == "-" and last[1:2] != "-" and last.endswith(flag[1])
        if flag[2] != "bool" and (long or short):
            return flag
    return None


def _values(client: Client, flag: Flag) -> list[str]:
    """Return the values that a flag may have."""
    name = flag[0].partition("|")[0]
    known = {
        "restart": ["no", "always", "unless-stopped", "on-failure"],
        "pull": ["missing", "always", "never"],
        "type": ["container", "image", "network", "volume"],
        "attach": ["stdin", "stdout", "stderr"],
        "format": ["table", "json"],
        "log-driver": ["json-file", "local", "none"],
    }
    if name in known:
        return known[name]
    if name == "network":
        return ["none", "host", *_listed(client, "networks")]
    if name == "volumes-from":
        return _listed(client, "containers")
    return []


def _objects(client: Client, name: str, verb: Verb) -> list[str]:
    """Return names of what a verb works on, by the first word of its usage."""
    if name.startswith("network ") and "CONTAINER" in verb.usage:
        return [*_listed(client, "networks"), *_listed(client, "containers")]
    if name == "inspect":
        return [
            one for kind in ("containers", "images", "networks", "volumes") for one in _listed(client, kind)
        ]
    if name == "completion":
        return list(SCRIPTS)
    word = verb.usage.strip("[").partition(" ")[0].strip("[].")
    kind = _LISTS.get(word.partition(":")[0])
    if kind == "contexts" and not name.startswith("context "):
        kind = "images" if name.startswith("image ") else None
    return _listed(client, kind) if kind else []


def _listed(client: Client, kind: str) -> list[str]:
    """Return the names of the daemon's objects of a kind."""
    if kind == "contexts":
        from runtime.cli.connection import context_store

        return ["default", *context_store.stored()]
    if kind == "containers":
        return [
            name.lstrip("/") for one in client.get("/containers/json", {"all": True}) for name in one["Names"]
        ]
    if kind == "images":
        return [tag for one in client.get("/images/json") for tag in one.get("RepoTags") or ()]
    if kind == "networks":
        return [one["Name"] for one in client.get("/networks")]
    return [one["Name"] for one in client.get("/volumes")["Volumes"] or ()]


COMPLETION = Verb(completion, "bash|zsh|fish", example="nn completion bash > /etc/bash_completion.d/nn")
COMPLETE = Verb(complete, "[WORD...]", raw=True)
