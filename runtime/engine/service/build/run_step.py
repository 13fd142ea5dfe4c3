"""The container of a RUN step: make it, attach to it, run it to its end, remove it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runtime.docker_syntax.frames import STDERR
from runtime.engine.errors import BuildError, EngineError, StartFailedError
from runtime.engine.service.build.options import BuildOptions
from runtime.engine.service.model.progress import Lines
from runtime.engine.service.model.request import CreateRequest, Healthcheck

if TYPE_CHECKING:
    from runtime.engine.service.service import Service

RED, PLAIN = "\x1b[91m", "\x1b[0m"
"""Around what is said on standard error."""


class StepContainer:
    """The container of one RUN. remove() it, or leave it for the user to inspect."""

    def __init__(self, service: Service, options: BuildOptions, lines: Lines) -> None:
        self._service, self._options, self._lines = service, options, lines
        self.id = ""

    async def run(self, image_id: str, argv: Sequence[str], env: Sequence[str]) -> None:
        """Run `argv` in a new container of the image, and forward its output.

        Raises BuildError when its exit code is not 0, or it cannot be started.
        """
        containers = self._service.containers
        request = CreateRequest(
            image=image_id,
            cmd=list(argv),
            entrypoint=[""] if argv else None,  # `RUN []` runs what the image runs, with docker too
            env=list(env) or None,
            healthcheck=Healthcheck(test=["NONE"]),
            attach_stdout=True,
            attach_stderr=True,
            host_config=self._options.host_config(),
        )
        self.id, warnings = await containers.create(None, request, of_build=True)
        for warning in warnings:
            self._lines.stream(f"{RED}[Warning] {warning}\n{PLAIN}")
        self._lines.stream(f" ---> Running in {self.id[:12]}\n")
        ended = containers.subscribe_wait(self.id, "next-exit")
        attachment = self._service.streams.attach(self.id, stdout=True, stderr=True)
        try:
            await self._start()
            async for stream, data in attachment:
                text = data.decode("utf-8", "replace")
                self._lines.stream(f"{RED}{text}{PLAIN}" if stream == STDERR else text)
                await self._lines.room()
            code = (await ended).code
        finally:
            ended.cancel()
            await attachment.close()
        if code:
            raise BuildError(f"The command '{' '.join(argv)}' returned a non-zero code: {code}", code)

    async def _start(self) -> None:
        try:
            await self._service.containers.start(self.id)
        except StartFailedError as error:
            raise BuildError(str(error)) from error

    async def remove(self, *, report: bool = True) -> None:
        """Remove it, with its anonymous volumes; idempotent. A failure is only reported."""
        if not self.id:
            return
        container_id, self.id = self.id, ""
        try:
            await asyncio.shield(self._service.containers.remove(container_id, force=True, volumes=True))
        except EngineError as error:
            self._lines.stream(f"Error removing intermediate container {container_id[:12]}: {error}\n")
            return
        if report:
            self._lines.stream(f" ---> Removed intermediate container {container_id[:12]}\n")
