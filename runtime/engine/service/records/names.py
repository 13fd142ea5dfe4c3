"""Names of containers: validity, lookup by reference, and random new ones."""

from __future__ import annotations

import random
import re

from runtime.engine.errors import BadParameterError, ConflictError, NotFoundError

_ALLOWED = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_FIRST = """
able amber bold brave breezy bright brisk calm candid clear clever cosy crisp curious daring deft eager
early easy fair fleet fond frank free fresh gentle glad golden grand happy hardy honest humble jolly keen
kind light lively loyal lucid lucky merry mild modest neat nimble noble patient placid plain polite
prompt proud quick quiet ready silver sincere smart snug sober steady stout sunny swift tidy tranquil
true vivid warm wise witty
"""
_SECOND = """
alder aspen badger beaver beech birch bison bittern bream cedar chough condor cormorant crane curlew
cypress dipper dunlin egret elder elm falcon fern finch fir gannet goshawk grebe harrier hazel heron
hornbeam ibis juniper kestrel kite larch lark linden linnet lynx maple marten merlin myrtle nuthatch oak
osprey otter ouzel petrel pine pipit plover poplar puffin raven redstart robin rowan sable siskin skylark
spruce stork swallow tern thrush vole wagtail walnut warbler willow wren yew
"""


def check_name(name: str) -> str:
    """Return a name without its slash. Raises BadParameterError in Docker's words."""
    if not _ALLOWED.fullmatch(name):
        raise BadParameterError(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    return name.removeprefix("/")


class Names:
    """The names of containers, and references by the start of an id."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._all: set[str] = set()

    def add(self, container_id: str, name: str) -> None:
        """Give a container its name. Raises ConflictError when another one has it."""
        taken = self._ids.get(name)
        if taken is not None:
            raise ConflictError(
                f'Conflict. The container name "/{name}" is already in use by container "{taken}". You have '
                "to remove (or rename) that container to be able to reuse that name."
            )
        self._ids[name] = container_id
        self._all.add(container_id)

    def rename(self, container_id: str, old: str, new: str) -> None:
        """Give a container another name. Raises ConflictError; it keeps the old one then."""
        self.add(container_id, new)
        del self._ids[old]

    def drop(self, container_id: str, name: str) -> None:
        """Forget a container."""
        if self._ids.get(name) == container_id:
            del self._ids[name]
        self._all.discard(container_id)

    def find(self, ref: str) -> str:
        """Return the id of a full id, a name, or the start of an id, tried in this order as Docker does.

        Raises NotFoundError, or BadParameterError when several ids start so.
        """
        if ref in self._all:
            return ref
        named = self._ids.get(ref.removeprefix("/"))
        if named is not None:
            return named
        found = [container_id for container_id in self._all if ref and container_id.startswith(ref)]
        if len(found) > 1:
            raise BadParameterError(f"Multiple IDs found with provided prefix: {ref}")
        if not found:
            raise NotFoundError(f"No such container: {ref}")
        return found[0]

    def named(self, name: str) -> str | None:
        """Return the id of exactly this name."""
        return self._ids.get(name)

    def invent(self) -> str:
        """Return a random name that is free."""
        while True:
            name = f"{random.choice(_FIRST.split())}_{random.choice(_SECOND.split())}"
            if name in self._ids:
                name += str(random.randrange(10))
            if name not in self._ids:
                return name
