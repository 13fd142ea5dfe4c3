"""Makes modules of a bundle's parts. The launcher executes this, out of the bundle, and calls unpack()."""

import gc
import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec

Part = tuple[str, str, int, int, bytes]
"""A module: its name, its source, when that was changed (ns), its size, and its code, marshalled."""


def unpack(parts: "list[Part]") -> bool:
    """Make the modules, if all are as their sources are; say whether that is so."""
    for _, file, changed_ns, size, _ in parts:
        state = posix.stat(file)
        if state.st_mtime_ns != changed_ns or state.st_size != size:
            return False
    gc.disable()  # nothing of a run lives long enough to need it
    place = parts[0][1].rpartition("/cli/")[0]
    _package("runtime", place)
    _package("runtime.cli", place + "/cli")
    cli = sys.modules["runtime.cli"]
    sys.modules["runtime"].cli = cli  # type: ignore[attr-defined]
    for name, file, _, _, code in parts:
        module = sys.modules[name] = type(sys)(name)
        module.__file__, module.__package__ = file, "runtime.cli"
        exec(marshal.loads(code), module.__dict__)  # noqa: S102 - this is what an import does
        setattr(cli, name.rpartition(".")[2], module)
    return True


def _package(name: str, directory: str) -> None:
    module = sys.modules[name] = type(sys)(name)
    spec = module.__spec__ = ModuleSpec(name, None, is_package=True)
    module.__path__ = spec.submodule_search_locations = [directory]
