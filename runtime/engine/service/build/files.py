"""COPY, ADD and WORKDIR: from the arguments of an instruction to its layer. Blocking."""

from __future__ import annotations

import itertools
import os
import posixpath
import shutil
from collections.abc import Mapping
from pathlib import Path

from runtime.engine.errors import BuildError
from runtime.engine.service.build.copying import LayerTree, Look, unpacked_archive
from runtime.engine.service.build.owners import parse_mode, parse_owner
from runtime.engine.service.build.sources import Source, content_label, find_sources
from runtime.engine.service.build.state import StageState, Step
from runtime.engine.service.dockerfile.lexer import expand
from runtime.engine.service.dockerfile.parser import Instruction
from runtime.engine.service.images.download import is_url, open_url
from runtime.image.layers.layer_view import LayerView
from runtime.image.store.image_store import ImageStore
from runtime.spawn.errnos import errno_text

_CHUNK = 1 << 20


class FileStep:
    """One COPY, ADD or WORKDIR."""

    def __init__(
        self, store: ImageStore, instruction: Instruction, values: Mapping[str, str], scratch: Path
    ) -> None:
        self._store, self._instruction, self._values = store, instruction, values
        self._numbers = itertools.count()
        self._scratch = scratch / f"step-{id(self)}"
        self._sources: list[Source] = []
        self._target = ""
        self._look = Look()

    def find(self, tree: LayerView, working_dir: str, base: LayerView) -> str:
        """Find the sources; return the step's text for the history. BuildError for missing ones."""
        verb = self._instruction.name
        *names, target = [
            expand(word, self._values, self._instruction.escape) for word in self._instruction.args
        ]
        if not target or not all(names):
            raise BuildError(f"{verb} failed: a source or the destination is empty")
        self._target = _absolute(target, working_dir)
        chown, chmod = (self._flag(name) for name in ("chown", "chmod"))
        self._look = Look(
            owner=parse_owner(chown, base) if chown else (0, 0), mode=parse_mode(chmod) if chmod else None
        )
        remote = [name for name in names if verb == "ADD" and is_url(name)]
        local = [name for name in names if name not in remote]
        self._sources = [self._fetch(url) for url in remote]
        if local:
            self._sources += find_sources(tree, local, verb)
        flags = "".join(f"--{name}={value} " for name, value in (("chown", chown), ("chmod", chmod)) if value)
        return f"{verb} {flags}{content_label(self._sources)} in {target} "

    def _flag(self, name: str) -> str:
        return expand(self._instruction.flags.get(name, ""), self._values, self._instruction.escape)

    def _fetch(self, url: str) -> Source:
        place = self._place()
        place.mkdir()
        with open_url(url) as answer:
            name = answer.name or ("" if self._target.endswith("/") else "download")
            if not name:
                raise BuildError(f"cannot determine filename for source {url}; name it in the destination")
            with (place / name).open("xb") as file:
                while data := answer.stream.read(_CHUNK):
                    file.write(data)
        (place / name).chmod(0o600)
        os.utime(place / name, (answer.modified, answer.modified))
        tree = LayerView([place])
        node = tree.find(name, follow=False)
        assert node is not None
        return Source(tree, node, name, remote=True)

    def _place(self) -> Path:
        self._scratch.mkdir(exist_ok=True)
        return self._scratch / str(next(self._numbers))

    def add_to(self, state: StageState, step: Step) -> None:
        """Make the layer, and an image with it, which the stage continues with."""
        root = self._place()
        root.mkdir(mode=0o755)
        layer_tree = LayerTree(state.tree(), root)
        verb = self._instruction.name
        try:
            for source in self._sources if verb == "ADD" else ():
                self._add_archive(layer_tree, source)
            if self._sources:
                layer_tree.copy(self._sources, self._target, self._look, verb)
            layer_tree.finish()
        except OSError as error:
            raise BuildError(f"{verb} failed: {error.filename}: {errno_text(error)}") from error
        self._register(state, root, step)

    def _add_archive(self, layer_tree: LayerTree, source: Source) -> None:
        unpacked = unpacked_archive(source, self._place(), self._store.limits)
        if unpacked is None:
            return
        self._sources = [other for other in self._sources if other is not source]
        owner = self._look.owner if "chown" in self._instruction.flags else None
        target = self._target if self._target.endswith("/") else f"{self._target}/"
        layer_tree.copy([unpacked], target, Look(owner=owner, mode=None), "ADD")

    def add_directory(self, state: StageState, path: str, step: Step) -> None:
        """Make a directory, unless the image has it, and an image with it, which the stage continues with."""
        base = state.tree()
        root = self._place()
        root.mkdir(mode=0o755)
        node = base.find(path)
        if node is None:
            layer_tree = LayerTree(base, root)
            layer_tree.make_directory(base.resolve(path))
            layer_tree.finish()
        elif not node.is_directory:
            raise BuildError(f"WORKDIR {path}: the image has a file of that name")
        self._register(state, root, step)

    def _register(self, state: StageState, root: Path, step: Step) -> None:
        with self._store.adding():
            state.add_layer(self._store, self._store.content.add_changes(root), step)
        shutil.rmtree(self._scratch, ignore_errors=True)


def _absolute(target: str, working_dir: str) -> str:
    whole = posixpath.normpath(posixpath.join("/", working_dir, target))
    ends = target.endswith(("/", "/.")) or target in (".", "..")
    return whole if whole == "/" else f"{whole}/" if ends else whole
