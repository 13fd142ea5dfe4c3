"""One arm inside one group of a session: its instance, its worker, and its recovery from a failure."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import msgspec

from bench.backends.base import Backend, Channel, Instance, InstanceSpec
from bench.scenarios.base import error_text


class Arm:
    """Holds an instance and a shell in it; without a spec nothing (scenarios that start their own)."""

    def __init__(
        self, name: str, backend: Backend, spec: InstanceSpec | None, volume: Path, pad: int
    ) -> None:
        self.name = name
        self.backend = backend
        self.instance: Instance | None = None
        self.worker: Channel | None = None
        self.failure = ""
        self.starts: dict[str, list[int]] = {}
        """As a scenario's context has it: of this instance."""
        self._spec = spec
        self._volume = volume
        self._pad = pad

    def start(self) -> None:
        """Start the instance and its worker; a failure of any kind is kept in `failure` and not raised."""
        if self._spec is None:
            return
        try:
            spec = self._spec
            if spec.volume is not None:
                self._volume.mkdir(parents=True, exist_ok=True)
                spec = msgspec.structs.replace(spec, volume=self._volume)
            self.instance = self.backend.start(spec)
            self.starts.clear()
            self._open()
            self.failure = ""
        except Exception as error:
            self.failure = f"start: {error_text(error)}"
            self._free()

    def recover(self) -> None:
        """After a failed slice: a new worker, or a new instance when the old one takes no worker."""
        if self.instance is None:
            return
        try:
            self._close()
            self._open()
        except Exception:
            self._free()
            self.start()

    def stop(self) -> str:
        """End all it holds; returns what went wrong, "" when nothing did."""
        wrong = ""
        try:
            self._close()
        except Exception as error:
            wrong = error_text(error)
        try:
            if self.instance is not None:
                self.instance.stop()
        except Exception as error:
            wrong = error_text(error)
        self.instance = None
        shutil.rmtree(self._volume, ignore_errors=True)
        return wrong

    def _open(self) -> None:
        """Each session pads the worker's environment by another length, which moves the programs' stacks."""
        if self.instance is not None:
            argv = ("/usr/bin/env", f"NINETYNINE_PAD={'x' * self._pad}", "/bin/sh")
            self.worker = self.instance.open(argv)

    def _close(self) -> None:
        worker, self.worker = self.worker, None
        if worker is not None:
            worker.close()

    def _free(self) -> None:
        instance, self.instance = self.instance, None
        with contextlib.suppress(Exception):
            self._close()
        with contextlib.suppress(Exception):
            if instance is not None:
                instance.stop()
