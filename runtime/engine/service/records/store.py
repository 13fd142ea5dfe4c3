"""Records on disk: `containers/<id>/record.json`, the request, and `state.json`, the state.

record.json is synced before a create is answered (unless the container is removed at its end anyway), so it
survives a power cut. state.json is replaced often, and synced only where a power cut would lose what was
asked for: nothing runs after one, whatever the file says. A directory with no record.json, or an empty one,
is half-made and is removed at the next start; one with a damaged record is left alone, since somebody may
want its files.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
from pathlib import Path

import msgspec

from runtime.engine.errors import EngineError
from runtime.engine.service.model.record import ContainerRecord, State
from runtime.engine.service.model.request import EndpointSettings
from runtime.image.errors import errno_advice
from runtime.spawn.durable import replace_file, sync_path

_RECORD, _STATE = "record.json", "state.json"
_GONE = ".gone-"

log = logging.getLogger(__name__)


class _Changing(msgspec.Struct, frozen=True, kw_only=True):
    """What state.json holds."""

    state: State
    networks: dict[str, EndpointSettings]


_encode = msgspec.json.Encoder().encode
_records = msgspec.json.Decoder(ContainerRecord)
_changing = msgspec.json.Decoder(_Changing)


class Store:
    """The directory of all containers. Its methods block: those that sync are called in a thread."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._numbers = itertools.count()
        root.mkdir(mode=0o710, parents=True, exist_ok=True)

    def directory(self, container_id: str) -> Path:
        """Return the directory of one container."""
        return self.root / container_id

    def load(self) -> list[ContainerRecord]:
        """Read all records, oldest first, and remove what is half-made or half-removed."""
        found = []
        for path in self.root.iterdir():
            if path.name.startswith(_GONE) or _is_half_made(path):
                log.warning("container directory %s is half-made or half-removed: removing it", path.name)
                _remove(path)
                continue
            try:
                found.append(_read(path))
            except (OSError, msgspec.MsgspecError) as error:
                log.error(
                    "container %s is left out, since its record cannot be read (%s): repair %s, or remove %s",
                    *(path.name, error, path / _RECORD, path),
                )
        return sorted(found, key=lambda record: record.created)

    def create(self, record: ContainerRecord, *, sync: bool) -> Path:
        """Make a container's directory with its record; a failure leaves nothing behind.

        Raises EngineError.
        """
        directory = self.root / record.id
        try:
            directory.mkdir(mode=0o710)
            replace_file(directory / _RECORD, _fixed(record), sync=sync)
        except OSError as error:
            _remove(directory)
            raise EngineError(f"create container {record.id}: {errno_advice(error)}") from error
        if sync:
            sync_path(self.root)
        return directory

    def save(self, record: ContainerRecord) -> None:
        """Replace what was asked, synced; the state is left as it is. Raises EngineError."""
        try:
            replace_file(self.root / record.id / _RECORD, _fixed(record), sync=True)
        except OSError as error:
            raise EngineError(f"keep record of container {record.id}: {errno_advice(error)}") from error

    def save_state(self, record: ContainerRecord) -> bool:
        """Replace state and networks. A failure is logged and returns False: try again."""
        document = _encode(_Changing(state=record.state, networks=record.networks))
        try:
            replace_file(self.root / record.id / _STATE, document, sync=False)
        except OSError as error:
            log.warning("keep state of container %s: %s", record.id, errno_advice(error))
            return False
        return True

    def sync_state(self, container_id: str) -> None:
        """Make the last saved state survive a power cut. Nothing to do for a container that is gone."""
        directory = self.root / container_id
        try:
            sync_path(directory / _STATE)
            sync_path(directory)
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("keep state of container %s: %s", container_id, errno_advice(error))

    def remove(self, container_id: str) -> Path:
        """Remove a container from the disk atomically; return the directory for clear()."""
        gone = self.root / f"{_GONE}{container_id}-{next(self._numbers)}"
        try:
            (self.root / container_id).rename(gone)
        except FileNotFoundError:
            return gone
        except OSError as error:
            raise EngineError(f"remove container {container_id}: {errno_advice(error)}") from error
        return gone

    def clear(self, gone: Path) -> None:
        """Free the disk space of a removed container. May take long."""
        _remove(gone)


def _fixed(record: ContainerRecord) -> bytes:
    return _encode(msgspec.structs.replace(record, state=State()))


def _is_half_made(directory: Path) -> bool:
    """Say whether a creation was cut off: without sync, a power cut may leave an empty file or zeros."""
    try:
        return not (directory / _RECORD).read_bytes().strip(b"\0")
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def _read(directory: Path) -> ContainerRecord:
    """Read a record. Raises OSError, MsgspecError."""
    record = _records.decode((directory / _RECORD).read_bytes())
    if record.id != directory.name:
        raise msgspec.ValidationError(f"it is of container {record.id}")
    try:
        changing = _changing.decode((directory / _STATE).read_bytes())
    except FileNotFoundError:
        return record
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("state of container %s cannot be read, so it is as created: %s", record.id, error)
        return record
    return msgspec.structs.replace(record, state=changing.state, networks=changing.networks)


def _remove(path: Path) -> None:
    """Remove a tree; links are not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def bytes_below(directory: Path) -> int:
    """Return the sizes of all files below a directory, each inode once, as dockerd counts them.

    A symbolic link has the length of its target. Blocks on the disk.
    """
    total, seen = 0, set()
    waiting = [os.fspath(directory)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif status.st_ino not in seen:
                        if status.st_nlink > 1:
                            seen.add(status.st_ino)
                        total += status.st_size
        except (FileNotFoundError, NotADirectoryError):
            continue
    return total
