"""How an instance of the host ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.backends.base import BenchImage, InstanceSpec
from bench.backends.host import HostBackend
from bench.backends.programs import processes

pytestmark = pytest.mark.root


def test_ctrl_c_while_an_instance_ends_leaves_none_of_its_main_program(
    state: Path, bench_image: BenchImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was waited for, and had not been killed."""
    backend = HostBackend(state)
    backend.prepare(bench_image)
    try:
        instance = backend.start(InstanceSpec())
        (main,) = instance._members()

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(processes, "kill_all", interrupted)
            with pytest.raises(KeyboardInterrupt):
                instance.stop()
        assert not Path(f"/proc/{main}").exists()
    finally:
        backend.cleanup()
