"""Build what is not Python: the extension `runtime.spawn._tape`, the containers' init, the program `nn`."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Distribution, Extension, setup
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


LAUNCHER = "import sys; sys.path.insert(0, {place!r}); from runtime.cli.start.nn import script; script()"
"""How nn.c starts Python. bin/nn, the `nn` of a wheel, has to look for the packages first."""


def compile_nn(source: Path, target: Path, python: str, place: str) -> None:
    """Compile the program `nn`, with musl if it is installed: its static programs start fastest.

    source: nn.c. place: the directory of our packages, for what is left to Python. python: the interpreter to
    use when there is none beside the program.
    """
    compiler = ["musl-gcc"] if shutil.which("musl-gcc") else shlex.split(os.environ.get("CC", "cc"))
    with tempfile.TemporaryDirectory() as include:
        texts = {"PYTHON": python, "LAUNCHER": LAUNCHER.format(place=place)}
        lines = [f"#define {name} {json.dumps(text, ensure_ascii=False)}\n" for name, text in texts.items()]
        (Path(include) / "launcher.h").write_text("".join(lines))
        flags = ["-std=gnu11", "-Os", "-static", "-s", "-Wall", "-Wextra", "-I", include]
        subprocess.run([*compiler, *flags, "-o", target, source], check=True)


class BuildScripts(Distribution().get_command_class("build_scripts")):  # type: ignore[misc]
    """build_scripts that compiles `nn` for an editable install.

    Python takes longer to start than a container, so a C program does the common `nn run` itself and starts
    Python for the rest. It is compiled with the checkout's path; a wheel, whose path is unknown, gets bin/nn,
    which is all Python.
    """

    editable_mode = False

    def run(self) -> None:
        """Copy the scripts, then replace nn."""
        super().run()
        if self.editable_mode:
            target = Path(self.build_dir) / "nn"
            target.unlink(missing_ok=True)
            compile_nn(HERE / "runtime/cli/start/nn.c", target, sys.executable, str(HERE.resolve()))


setup(
    scripts=["bin/nn"],
    ext_modules=[
        Extension(
            "runtime.spawn._tape",
            ["runtime/spawn/_tape.c"],
            py_limited_api=True,
            extra_compile_args=[*CHILD_SAFE, "-Wall", "-Wextra"],
        )
    ],
    cmdclass={"build_ext": BuildNative, "build_scripts": BuildScripts},
)
