"""The parts of a daemon that the lifecycle of containers uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.engine.service.core import Core

if TYPE_CHECKING:
    from runtime.engine.service.containers.execs import Execs
    from runtime.engine.service.networks.networks import Networks
    from runtime.engine.service.stdio.streams import Streams


class Parts(Core):
    """A Service as its containers see it: all but themselves."""

    networks: Networks
    streams: Streams
    execs: Execs
