"""The text for a step in an image's history, in docker's words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from runtime.engine.service.dockerfile.config_instructions import argv_of, shell_of
from runtime.engine.service.dockerfile.lexer import expand, expand_words
from runtime.engine.service.dockerfile.parser import Instruction
from runtime.engine.service.model.request import Config


def no_operation(comment: str, config: Config) -> str:
    """Return the command that stands for a step without a program."""
    return f"{' '.join(shell_of(config))} #(nop) {comment}"


def setting_comment(instruction: Instruction, config: Config, values: Mapping[str, str]) -> str:
    """Return the comment of a setting, with variables replaced. config: before the setting."""
    word = _WORDS.get(instruction.name, _line)
    return f" {instruction.name} {word(instruction, config, values)}"


def argument_comment(pairs: Sequence[tuple[str, str | None]]) -> str:
    """Return the comment of an ARG."""
    return " ARG " + " ".join(name if value is None else f"{name}={value}" for name, value in pairs)


def _pairs(instruction: Instruction, config: Config, values: Mapping[str, str]) -> str:
    escape = instruction.escape
    return " ".join(
        f"{expand(key, values, escape)}={expand(value, values, escape)}" for key, value in instruction.pairs
    )


def _argv(instruction: Instruction, config: Config, values: Mapping[str, str]) -> str:
    return "[" + " ".join(_quoted(word) for word in argv_of(instruction, config)) + "]"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _ports(instruction: Instruction, config: Config, values: Mapping[str, str]) -> str:
    return " ".join(
        sorted(one for word in instruction.args for one in expand_words(word, values, instruction.escape))
    )


def _listed(instruction: Instruction, config: Config, values: Mapping[str, str]) -> str:
    return "[" + " ".join(expand(word, values, instruction.escape) for word in instruction.args) + "]"


def _words(instruction: Instruction, config: Config, values: Mapping[str, str]) -> str:
    return f"[{' '.join(instruction.args)}]"


def _plain(instruction: Instruction, config: Config, values: Mapping[str, str]) -> str:
    return instruction.text.split(None, 1)[1]


def _line(instruction: Instruction, config: Config, values: Mapping[str, str]) -> str:
    return " ".join(expand(word, values, instruction.escape) for word in instruction.args)


_WORDS: dict[str, Callable[[Instruction, Config, Mapping[str, str]], str]] = {
    "ENV": _pairs,
    "LABEL": _pairs,
    "CMD": _argv,
    "ENTRYPOINT": _argv,
    "EXPOSE": _ports,
    "VOLUME": _listed,
    "SHELL": _words,
    "ONBUILD": _plain,
    "HEALTHCHECK": _plain,
}
