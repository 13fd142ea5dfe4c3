"""Builds what is not Python: the C extension `runtime.spawn._tape` and the containers' init, a static ELF."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).parent
CHILD_SAFE = ["-O2", "-std=gnu11", "-fno-stack-protector", "-fno-sanitize=all"]
"""No instrumentation: the child runs this code on a small stack, without TLS, in its parent's memory."""

INIT_FLAGS = [
    "-Os", "-std=gnu11", "-static", "-nostdlib", "-nostartfiles", "-ffreestanding", "-fno-stack-protector",
    "-fno-pic", "-no-pie", "-fno-asynchronous-unwind-tables", "-Wl,--build-id=none", "-Wl,-z,noexecstack",
    "-s",
]  # fmt: skip


class BuildNative(build_ext):
    """build_ext that also compiles runtime/spawn/init.c to init.elf, beside the extension."""

    def run(self) -> None:
        """Build the extensions, then the init."""
        super().run()
        source = HERE / "runtime/spawn/init.c"
        if source.exists():
            target = source if self.inplace else Path(self.build_lib) / "runtime/spawn/init.c"
            target.parent.mkdir(parents=True, exist_ok=True)
            compiler = shlex.split(os.environ.get("CC", "cc"))
            self.spawn([*compiler, *INIT_FLAGS, "-o", str(target.with_suffix(".elf")), str(source)])


setup(
    ext_modules=[
        Extension(
            "runtime.spawn._tape",
            ["runtime/spawn/_tape.c"],
            py_limited_api=True,
            extra_compile_args=[*CHILD_SAFE, "-Wall", "-Wextra"],
        )
    ],
    cmdclass={"build_ext": BuildNative},
)
