"""The state of a stage of a build: its image, and the config that the next step begins with."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec

from runtime.engine.service.dockerfile.config_instructions import env_mapping
from runtime.engine.service.dockerfile.parser import Instruction
from runtime.engine.service.images.image_config import (
    ImageDocument,
    child_document,
    empty_document,
    read_document,
    write_document,
)
from runtime.engine.service.model.request import Config
from runtime.image.layers.layer_store import Layer
from runtime.image.layers.layer_view import LayerView
from runtime.image.store.image import Image
from runtime.image.store.image_store import ImageStore
from runtime.image.store.pins import Holder
from runtime.oci.defaults import PATH


class Step(NamedTuple):
    """One step, for the history and the cache. created_by: its instruction, with digests of what it copies.

    config: that of the step's image.
    """

    created_by: str
    config: Config

    @property
    def digest(self) -> str:
        """The key that the cache finds it by."""
        content = [self.created_by, msgspec.to_builtins(self.config)]
        return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


class StageState:
    """One stage. image: None before the first step after `FROM scratch`. base: what it began with.

    missed: the cache had nothing. config: what the next image says; document: the current image's whole
    config document.
    """

    def __init__(self, image: Image | None, document: ImageDocument, holder: Holder) -> None:
        self._holder = holder
        self.image, self.base, self.document = image, image, document
        self.author = document.author
        self.missed = False
        self._command_set = False
        self.config = _with_path(document.config)

    @classmethod
    def scratch(cls, holder: Holder) -> StageState:
        """Begin without an image. holder: keeps all images that the stage makes."""
        return cls(None, empty_document(), holder)

    @classmethod
    def of(cls, store: ImageStore, image: Image, holder: Holder) -> StageState:
        """Begin with an image. Blocking. ImageNotFoundError: it was just removed."""
        holder.hold(image.id)
        image = store.resolve(image.id)
        return cls(image, read_document(store.content.read_blob(image.id)), holder)

    def branch(self) -> StageState:
        """Begin another stage where this one ended."""
        document = msgspec.structs.replace(self.document, config=self.config)
        return StageState(self.image, document, self._holder)

    def tree(self) -> LayerView:
        """Return the files of the image."""
        return LayerView(self.image.layer_dirs if self.image else ())

    def take_triggers(self) -> list[str]:
        """Return the base's ONBUILD instructions, which the new image does not inherit."""
        triggers = list(self.config.on_build or ())
        self.config = msgspec.structs.replace(self.config, on_build=None)
        return triggers

    def reset_command(self, instruction: Instruction, config: Config) -> Config:
        """Drop the base's CMD for a new ENTRYPOINT, unless this stage has set a CMD before."""
        self._command_set = self._command_set or instruction.name == "CMD"
        if instruction.name == "ENTRYPOINT" and not self._command_set:
            return msgspec.structs.replace(config, cmd=None)
        return config

    def next_config(self) -> Config:
        """Return the config of the next image, with the image it is made from, as docker's builder does."""
        return msgspec.structs.replace(self.config, image=self.image.id if self.image else "")

    def move_to(self, store: ImageStore, image: Image) -> None:
        """Continue with the image of a step. Blocking."""
        self.image = image
        self.document = read_document(store.content.read_blob(image.id))
        self.config = self.document.config
        self.author = self.document.author or self.author

    def add_setting(self, store: ImageStore, step: Step) -> None:
        """Make an image with another config and no new layer. Blocking."""
        self.config = step.config
        self.add_layer(store, None, step)

    def add_layer(self, store: ImageStore, layer: Layer | None, step: Step) -> None:
        """Make an image with one more layer, if there is one. Blocking; to be called in store.adding()."""
        document = child_document(
            self.document,
            self.next_config(),
            diff_id=layer.diff_id if layer else "",
            created_by=step.created_by,
            author=self.author,
        )
        layers = self.image.layers if self.image else ()
        image = store.register(
            (),
            (*layers, layer) if layer else layers,
            write_document(document),
            parent=self.image.id if self.image else "",
            step=step.digest,
            holder=self._holder,
        )
        self.move_to(store, image)


def _with_path(config: Config) -> Config:
    if "PATH" in env_mapping(config):
        return config
    return msgspec.structs.replace(config, env=[*(config.env or ()), PATH])
