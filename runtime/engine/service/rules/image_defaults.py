"""Complete a container's config from its image, by docker's rules. Pure functions."""

from __future__ import annotations

from typing import Any

import msgspec

from runtime.engine.errors import BadParameterError
from runtime.engine.service.model.request import Config, CreateRequest, Healthcheck
from runtime.engine.service.rules.mounting import clean_target
from runtime.image.documents import Execution


def words(value: list[str] | str | None) -> list[str] | None:
    """Return a command as a list: clients may send one string for a list of one."""
    return [value] if isinstance(value, str) else value


def own_config(request: CreateRequest) -> Config:
    """Return the part of a request that is a Config."""
    fields = {name: getattr(request, name) for name in Config.__struct_fields__}
    return Config(**fields)


def merge(asked: Config, image: Execution) -> Config:
    """Return `asked` completed from the image. BadParameterError: no command."""
    entrypoint, command = _program(asked, image)
    healthcheck = getattr(image, "healthcheck", None)
    merged = msgspec.structs.replace(
        asked,
        user=asked.user or image.user,
        env=_merge_env(asked.env, image.env),
        cmd=command,
        entrypoint=entrypoint,
        working_dir=clean_target(asked.working_dir or image.working_dir),
        exposed_ports={**(image.exposed_ports or {}), **(asked.exposed_ports or {})} or None,
        volumes={**(image.volumes or {}), **(asked.volumes or {})} or None,
        labels={**(image.labels or {}), **(asked.labels or {})},
        stop_signal=asked.stop_signal or image.stop_signal or None,
        healthcheck=merge_healthcheck(asked.healthcheck, healthcheck),
        on_build=None,
    )
    if not (entrypoint or command):
        raise BadParameterError("no command specified")
    return merged


def program_of(config: Config) -> tuple[str, tuple[str, ...]]:
    """Return what runs, as docker shows it: path and arguments."""
    argv = [*(words(config.entrypoint) or ()), *(words(config.cmd) or ())]
    return argv[0], tuple(argv[1:])


def _program(asked: Config, image: Execution) -> tuple[list[str] | None, list[str] | None]:
    """A new entrypoint drops the image's command; `[""]` is docker's way to ask for none."""
    entrypoint, command = words(asked.entrypoint), words(asked.cmd)
    if entrypoint is not None and not any(entrypoint):
        reset = bool(entrypoint)
        entrypoint = None
        if reset:
            return None, command or None
    if not entrypoint:
        entrypoint = list(image.entrypoint) if image.entrypoint else None
        command = command or (list(image.cmd) if image.cmd else None)
    return entrypoint, command or None


def _merge_env(asked: list[str] | None, image: list[str] | None) -> list[str]:
    """Merge variables, requested ones first; a name without `=` removes a variable of the image."""
    own = list(asked or ())
    names = {text.partition("=")[0] for text in own}
    return own + [text for text in image or () if text.partition("=")[0] not in names]


def merge_healthcheck(asked: Healthcheck | None, image: dict[str, Any] | None) -> Healthcheck | None:
    """Complete a health check from the image's. An unreadable one of the image is ignored."""
    inherited: Healthcheck | None = None
    if image:
        try:
            inherited = msgspec.convert(image, type=Healthcheck)
        except msgspec.ValidationError:
            inherited = None
    if asked is None or inherited is None:
        return asked or inherited
    names = Healthcheck.__struct_fields__
    return Healthcheck(**{name: getattr(asked, name) or getattr(inherited, name) for name in names})
