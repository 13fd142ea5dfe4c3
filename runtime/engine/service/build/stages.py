"""Split a Dockerfile into stages, and resolve build arguments with their scopes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from runtime.engine.service.dockerfile.lexer import DockerfileError, expand, on_line
from runtime.engine.service.dockerfile.parser import Instruction

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
PREDEFINED = frozenset(_PROXIES) | {name.lower() for name in _PROXIES}
"""Arguments that need no ARG. Without one they are not part of history and cache."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One FROM and what follows it. name: after AS, in small letters, or ""."""

    base: str
    name: str
    first: Instruction
    instructions: tuple[Instruction, ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """globals: the ARGs before the first FROM."""

    globals: tuple[Instruction, ...]
    stages: tuple[Stage, ...]

    @property
    def steps(self) -> int:
        """How many steps docker counts."""
        return len(self.globals) + sum(1 + len(stage.instructions) for stage in self.stages)


def plan_stages(instructions: Sequence[Instruction], target: str = "") -> Plan:
    """Cut instructions into stages, up to `target` (a name or number). Raises DockerfileError."""
    before: list[Instruction] = []
    stages: list[Stage] = []
    for instruction in instructions:
        if instruction.name == "FROM":
            stages.append(_stage(instruction, stages))
        elif stages:
            last = stages[-1]
            stages[-1] = msgspec.structs.replace(last, instructions=(*last.instructions, instruction))
        elif instruction.name == "ARG":
            before.append(instruction)
        else:
            raise DockerfileError("no build stage in current context")
    if not stages:
        raise DockerfileError("no build stage in current context")
    return Plan(globals=tuple(before), stages=tuple(_up_to(stages, target)))


def _stage(instruction: Instruction, before: Sequence[Stage]) -> Stage:
    args = instruction.args
    if len(args) not in (1, 3) or (len(args) == 3 and args[1].upper() != "AS"):
        raise on_line(instruction.line, "FROM requires either one or three arguments")
    name = args[2].lower() if len(args) == 3 else ""
    if name and not _STAGE_NAME.fullmatch(name):
        message = (
            f'invalid name for build stage: "{args[2]}", name can\'t start with a number or contain symbols'
        )
        raise on_line(instruction.line, message)
    if name and any(stage.name == name for stage in before):
        raise on_line(instruction.line, f'duplicate name "{args[2]}": another stage has it')
    return Stage(base=args[0], name=name, first=instruction, instructions=())


def _up_to(stages: list[Stage], target: str) -> list[Stage]:
    if not target:
        return stages
    for number, stage in enumerate(stages):
        if target.lower() == stage.name or target == str(number):
            return stages[: number + 1]
    raise DockerfileError(f'target stage "{target}" could not be found')


class Arguments:
    """Build arguments: what was given, what ARG declares in this stage, and what was declared before."""

    def __init__(self, given: Mapping[str, str | None]) -> None:
        self._asked = frozenset(given)
        self._given = {name: value for name, value in given.items() if value is not None}
        self._globals: dict[str, str] = {}
        self._stage: dict[str, str | None] = {}
        self._used: set[str] = set()

    def declare_global(self, instruction: Instruction) -> None:
        """Take an ARG before the first FROM."""
        for name, default in declared(instruction, self._globals):
            value = self._given.get(name, default)
            self._used.add(name)
            if value is not None:
                self._globals[name] = value

    @property
    def globals(self) -> Mapping[str, str]:
        """Return the arguments that FROM may use."""
        return self._globals

    def begin_stage(self) -> None:
        """Forget the arguments that the previous stage declared."""
        self._stage = {}

    def declare(self, name: str, default: str | None) -> None:
        """Take an ARG of a stage; one without a default has the global's value."""
        self._used.add(name)
        self._stage[name] = self._given.get(name, default if default is not None else self._globals.get(name))

    def values(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the values of `$name`: arguments, overridden by the image's variables."""
        return {**self._set(), **env}

    def for_run(self, env: Mapping[str, str]) -> tuple[list[str], list[str]]:
        """Return the arguments that a RUN gets as variables, and those that count in history and cache."""
        self._used.update(PREDEFINED & self._given.keys())
        passed = {name: self._given[name] for name in PREDEFINED & self._given.keys()}
        passed |= self._set()
        pairs = sorted((name, value) for name, value in passed.items() if name not in env)
        counted = [f"{name}={value}" for name, value in pairs if name in self._stage]
        return [f"{name}={value}" for name, value in pairs], counted

    def unused(self) -> list[str]:
        """Return the given arguments, with or without a value, that no ARG declares."""
        return sorted(self._asked - self._used - PREDEFINED)

    def _set(self) -> dict[str, str]:
        return {name: value for name, value in self._stage.items() if value is not None}


def declared(instruction: Instruction, values: Mapping[str, str]) -> list[tuple[str, str | None]]:
    """Return the names of an ARG with their defaults, expanded. Raises DockerfileError."""
    found: list[tuple[str, str | None]] = []
    for word in instruction.args:
        name, equals, default = word.partition("=")
        name = expand(name, values, instruction.escape)
        if not name:
            raise on_line(instruction.line, "ARG names can not be blank")
        found.append((name, expand(default, values, instruction.escape) if equals else None))
    return found
