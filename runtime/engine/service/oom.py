"""Containers whose memory runs out while they run on: told at once, as docker does, not at their end."""

from __future__ import annotations

import asyncio
import functools
import logging

from runtime.engine.service.members import Member, Members
from runtime.spawn.causes import cause
from runtime.spawn.cgroups import find_layout
from runtime.spawn.cgroups.oom import OomWatch

log = logging.getLogger(__name__)

_layout = functools.cache(find_layout)


def watch(members: Members, member: Member) -> None:
    """Tell from now on when a running container's memory runs out, if it has a limit."""
    unwatch(members, member)
    if not member.record.host_config.memory:
        return
    try:
        member.oom = OomWatch(member.record.state.pid, _layout())
    except OSError as error:  # it has ended; its end is told by others
        log.debug("watch the memory of container %s: %s", member.id, cause(error))
        return
    asyncio.get_running_loop().add_reader(member.oom.fd, _look, members, member)


def unwatch(members: Members, member: Member) -> None:
    """Tell what has happened until now, and no more. Idempotent."""
    if member.oom is not None:
        _look(members, member)
        asyncio.get_running_loop().remove_reader(member.oom.fd)
        member.oom.close()
        member.oom = None


def _look(members: Members, member: Member) -> None:
    if member.oom is not None and member.oom.happened():
        members.set_state(member, save=False, oom_killed=True)
        members.publish(member.record, "oom")
