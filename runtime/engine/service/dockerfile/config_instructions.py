"""Instructions that change only an image's config: of Dockerfiles, `commit --change` and `import --change`.

Pure functions on Config.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from runtime.docker_syntax import MalformedError, durations, ports
from runtime.engine.service.dockerfile.lexer import DockerfileError, expand, expand_words
from runtime.engine.service.dockerfile.parser import Instruction, parse_instruction
from runtime.engine.service.model.request import Config, Healthcheck
from runtime.engine.service.model.signals import number_of

SHELL = ["/bin/sh", "-c"]
CHANGES = frozenset(
    {"CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "USER", "VOLUME",
     "WORKDIR"}
)  # fmt: skip
"""What `--change` may say."""

_LEAST_NS = 1_000_000


def env_mapping(config: Config) -> dict[str, str]:
    """Return the variables of a config by name."""
    pairs = (text.partition("=") for text in config.env or ())
    return {name: value for name, _, value in pairs}


def shell_of(config: Config) -> list[str]:
    """Return what shell forms are given to."""
    return list(config.shell or SHELL)


def argv_of(instruction: Instruction, config: Config) -> list[str]:
    """Return the command of RUN, CMD or ENTRYPOINT: as listed, or the shell's with the line."""
    return list(instruction.args) if instruction.is_json else [*shell_of(config), *instruction.args]


def apply_setting(instruction: Instruction, config: Config, values: Mapping[str, str]) -> Config:
    """Return the config after an instruction. values: what `$name` stands for.

    Raises DockerfileError, also for an instruction that does not change the config.
    """
    change = _CHANGE.get(instruction.name)
    if change is None:
        raise DockerfileError(f"{instruction.name} is not a valid change command")
    return change(instruction, config, values)


def apply_changes(changes: Sequence[str], config: Config) -> Config:
    """Return the config after `--change` lines. Raises DockerfileError."""
    names = set()
    for text in changes:
        for line in filter(str.strip, text.splitlines()):
            instruction = parse_instruction(line)
            if instruction.name not in CHANGES:
                raise DockerfileError(f"{instruction.name} is not a valid change command")
            config = apply_setting(instruction, config, env_mapping(config))
            names.add(instruction.name)
    if "ENTRYPOINT" in names and "CMD" not in names:  # the old command was meant for the old entrypoint
        config = _with(config, cmd=None)
    return config


# ---- one function an instruction ------------------------------------------------------------------------


def _env(instruction: Instruction, config: Config, values: Mapping[str, str]) -> Config:
    variables = env_mapping(config)
    for key, value in instruction.pairs:
        name = expand(key, values, instruction.escape)
        if not name:
            raise DockerfileError("ENV names can not be blank")
        variables[name] = expand(value, values, instruction.escape)
    return _with(config, env=[f"{name}={value}" for name, value in variables.items()])


def _label(instruction: Instruction, config: Config, values: Mapping[str, str]) -> Config:
    labels = dict(config.labels or {})
    for key, value in instruction.pairs:
        labels[expand(key, values, instruction.escape)] = expand(value, values, instruction.escape)
    return _with(config, labels=labels)


def _expose(instruction: Instruction, config: Config, values: Mapping[str, str]) -> Config:
    exposed = dict(config.exposed_ports or {})
    for word in instruction.args:
        for port in expand_words(word, values, instruction.escape):
            exposed |= dict.fromkeys(_ports(port), _EMPTY)
    return _with(config, exposed_ports=exposed)


def _ports(text: str) -> list[str]:
    try:
        first, last, protocol = ports.parse(text.rpartition(":")[2])  # `8080:80` names the container's last
    except MalformedError:
        first = 0
    if not first:
        raise DockerfileError(f"invalid containerPort: {text}; write 80, 80/udp or 8000-8010")
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def _volume(instruction: Instruction, config: Config, values: Mapping[str, str]) -> Config:
    volumes = dict(config.volumes or {})
    for word in instruction.args:
        path = expand(word, values, instruction.escape).strip()
        if not path:
            raise DockerfileError("VOLUME specified can not be an empty string")
        volumes[path] = _EMPTY
    return _with(config, volumes=volumes)


def _user(instruction: Instruction, config: Config, values: Mapping[str, str]) -> Config:
    return _with(config, user=expand(instruction.args[0], values, instruction.escape))


def _workdir(instruction: Instruction, config: Config, values: Mapping[str, str]) -> Config:
    path = expand(instruction.args[0], values, instruction.escape)
    if not path:
        raise DockerfileError("cannot normalize nothing: WORKDIR's value is empty")
    whole = posixpath.normpath(posixpath.join("/", config.working_dir, path))
    return _with(config, working_dir="/" + whole.lstrip("/"))


def _cmd(instruction: Instruction, config: Config, values: Mapping[str, str]) -> Config:
    return _with(config, cmd=argv_of(instruction, config))


def _entrypoint(instruction: Instruction, config: Config, values: Mapping[str, str]) -> Config:
    argv = argv_of(instruction, config)
    return _with(config, entrypoint=argv or None)


def _stop_signal(instruction: Instruction, config: Config, values: Mapping[str, str]) -> Config:
    signal = expand(instruction.args[0], values, instruction.escape)
    number_of(signal)
    return _with(config, stop_signal=signal)


def _healthcheck(instruction: Instruction, config: Config, values: Mapping[str, str]) -> Config:
    if instruction.args == ("NONE",):
        return _with(config, healthcheck=Healthcheck(test=["NONE"]))
    flags = instruction.flags
    return _with(
        config,
        healthcheck=Healthcheck(
            test=list(instruction.args),
            interval=_duration(flags, "interval"),
            timeout=_duration(flags, "timeout"),
            start_period=_duration(flags, "start-period"),
            start_interval=_duration(flags, "start-interval"),
            retries=_retries(flags.get("retries", "0")),
        ),
    )


def _duration(flags: Mapping[str, str], name: str) -> int:
    text = flags.get(name)
    if text is None:
        return 0
    try:
        found = durations.parse(text)
    except MalformedError as error:
        raise DockerfileError(f"HEALTHCHECK --{name}: {error}") from error
    if found and found < _LEAST_NS:
        raise DockerfileError(f'Interval "{name}" cannot be less than 1ms')
    return found


def _retries(text: str) -> int:
    if not text.isdecimal():
        raise DockerfileError(f"--retries must be at least 0 (not {text})")
    return int(text)


def _shell(instruction: Instruction, config: Config, values: Mapping[str, str]) -> Config:
    return _with(config, shell=list(instruction.args))


def _on_build(instruction: Instruction, config: Config, values: Mapping[str, str]) -> Config:
    return _with(config, on_build=[*(config.on_build or ()), instruction.args[0]])


_EMPTY: dict[str, Any] = {}

_CHANGE: dict[str, Callable[[Instruction, Config, Mapping[str, str]], Config]] = {
    "ENV": _env,
    "LABEL": _label,
    "EXPOSE": _expose,
    "VOLUME": _volume,
    "USER": _user,
    "WORKDIR": _workdir,
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "STOPSIGNAL": _stop_signal,
    "HEALTHCHECK": _healthcheck,
    "SHELL": _shell,
    "ONBUILD": _on_build,
}


def _with(config: Config, **changes: Any) -> Config:
    return msgspec.structs.replace(config, **changes)
