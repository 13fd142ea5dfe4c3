"""A daemon's volumes below one directory: `<name>/volume.json` and `<name>/_data`."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import shutil
import threading
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from runtime.spawn.durable import replace_file
from runtime.spawn.errnos import errno_text
from runtime.volume import copying, mounting
from runtime.volume.errors import BadVolumeError, VolumeConflictError, VolumeError, VolumeNotFoundError
from runtime.volume.populating import content_of, part_of

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_DOCUMENT, _GONE = "volume.json", ".gone-"
_DATA, _EARLIER_DATA = "_data", "data"
"""Directories of the files: programs rely on docker's `_data`; volumes of earlier versions keep theirs."""

log = logging.getLogger(__name__)


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume. created: RFC 3339. options: of the driver `local`: type, device, o, size.

    population: state of the copy of an image's content; `started` means it was interrupted.
    populated_part: the directory of the volume that it was copied to, "" for the whole volume.
    """

    name: str
    created: str
    driver: str = "local"
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
    population: Literal["", "started", "done"] = ""
    populated_part: str = ""
    version: int = 1


_encode = msgspec.json.Encoder().encode
_volumes = msgspec.json.Decoder(Volume)


class VolumeStore:
    """The volumes below `root`. Blocking and thread-safe."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.RLock()
        self._filling: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._users: dict[str, int] = {}
        self._numbers = itertools.count()
        self._earlier: set[str] = set()
        try:
            root.mkdir(mode=0o701, parents=True, exist_ok=True)
            self._volumes = self._load()
        except OSError as error:
            raise VolumeError(f"open volumes {root}: {errno_text(error)}; choose another root") from error

    def _load(self) -> dict[str, Volume]:
        """Read all documents; remove what is half-created or half-removed."""
        found = {}
        for path in sorted(self.root.iterdir()):
            if path.name.startswith("."):
                self._clear(path)
            elif path.is_dir() and _NAME.fullmatch(path.name):
                volume = _read(path)
                if volume is not None:
                    found[path.name] = volume
                    if {child.name for child in path.iterdir()} & {_DATA, _EARLIER_DATA} == {_EARLIER_DATA}:
                        self._earlier.add(path.name)
        return found

    # ---- volumes --------------------------------------------------------------------------------------

    def ensure(
        self,
        name: str,
        *,
        driver: str = "local",
        options: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
    ) -> bool:
        """Create the volume unless it exists; return whether it was created.

        Raises BadVolumeError for an invalid name or options, VolumeNotFoundError for an unknown driver,
        VolumeConflictError when it exists with other options.
        """
        if driver not in ("", "local", "default"):
            raise VolumeNotFoundError(f'error looking up volume plugin {driver}: plugin "{driver}" not found')
        if len(name) == 1:
            raise BadVolumeError("volume name is too short, names should be at least two characters")
        if not _NAME.fullmatch(name):
            raise BadVolumeError(
                f'create {name}: "{name}" includes invalid characters for a local volume name, only '
                '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use '
                "absolute path"
            )
        with self._lock:
            present = self._volumes.get(name)
            if present is not None:
                if options and options != present.options:
                    raise VolumeConflictError(f"create {name}: conflict: volume name must be unique")
                return False
            mounting.check_options(options or {})
            created = _text_of(datetime.now(UTC))
            self._make(Volume(name=name, created=created, options=options or {}, labels=labels or {}))
            return True

    def _make(self, volume: Volume) -> None:
        directory = self.root / volume.name
        try:
            directory.mkdir(mode=0o701)  # an existing directory is not ours to remove
            try:
                (directory / _DATA).mkdir()
                (directory / _DATA).chmod(0o755)
                self._put(volume)
            except OSError:
                shutil.rmtree(directory, ignore_errors=True)
                raise
        except OSError as error:
            raise VolumeError(
                f"create {volume.name}: {errno_text(error)}; free space below {self.root}"
            ) from error

    def get(self, name: str) -> Volume:
        """Return one volume. Raises VolumeNotFoundError."""
        with self._lock:
            if name not in self._volumes:
                raise VolumeNotFoundError(f"get {name}: no such volume")
            return self._volumes[name]

    def list(self) -> list[Volume]:
        """Return all volumes by name."""
        with self._lock:
            return [self._volumes[name] for name in sorted(self._volumes)]

    def mountpoint(self, name: str) -> Path:
        """Return the volume's directory on the host, mounted or not."""
        return self.root / name / (_EARLIER_DATA if name in self._earlier else _DATA)

    def remove(self, name: str) -> None:
        """Remove a volume and its data; the caller knows that it is unused. Raises VolumeNotFoundError."""
        with self._lock:
            self.get(name)
            self._users.pop(name, None)
            gone = self.root / f"{_GONE}{next(self._numbers)}-{name}"
            try:
                self._unmount(name)
                with contextlib.suppress(FileNotFoundError):  # somebody removed its directory
                    (self.root / name).rename(gone)
            except OSError as error:
                raise VolumeError(f"remove {name}: {errno_text(error)}; see who uses it (findmnt)") from error
            del self._volumes[name]
            self._filling.pop(name, None)
            self._earlier.discard(name)
        self._clear(gone)

    def usage(self, name: str) -> int:
        """Return the bytes of a volume's files, each inode counted once."""
        self.get(name)
        seen: set[tuple[int, int]] = set()
        total = 0
        for directory, _, files in os.walk(self.mountpoint(name)):
            for file in files:
                with contextlib.suppress(OSError):
                    info = os.lstat(f"{directory}/{file}")
                    if (info.st_dev, info.st_ino) not in seen:
                        seen.add((info.st_dev, info.st_ino))
                        total += info.st_size
        return total

    # ---- use ------------------------------------------------------------------------------------------

    def mount(self, name: str) -> Path:
        """Add a user, mount the volume if its options require it, and return its directory on the host."""
        with self._lock:
            volume, target = self.get(name), self.mountpoint(name)
            if mounting.wants_mount(volume.options) and not mounting.mounts_below(target):
                mounting.mount(name, volume.options, target)
            self._users[name] = self._users.get(name, 0) + 1
            return target

    def unmount(self, name: str) -> None:
        """Remove a user; the last one unmounts. Unknown volumes are ignored."""
        with self._lock:
            left = self._users.get(name, 0) - 1
            if left > 0:
                self._users[name] = left
                return
            self._users.pop(name, None)
            if name in self._volumes:
                self._unmount(name)

    def _unmount(self, name: str) -> None:
        if mounting.wants_mount(self._volumes[name].options):
            for _ in mounting.mounts_below(self.mountpoint(name)):
                mounting.unmount(self.mountpoint(name))

    def populate(self, name: str, layers: Sequence[Path], path: str, part: str = "") -> None:
        """Copy the image's content below `path` (layers: lowest first) into the volume if it is empty.

        part: fill only this directory of the volume, if it exists and does not lead out. An interrupted copy
        is discarded and made again. Call it between mount() and unmount().
        """
        with self._lock:
            filling = self._filling[name]
        with filling:
            try:
                self._discard_interrupted(name)
                self._fill(name, layers, path, part)
            except OSError as error:
                raise VolumeError(
                    f"fill volume {name} from the image's {path}: {errno_text(error)};"
                    " remove it and try again"
                ) from error

    def _discard_interrupted(self, name: str) -> None:
        volume = self.get(name)
        if volume.population == "started":
            with part_of(self.mountpoint(name), volume.populated_part) as target:
                if target is not None:
                    copying.clear(target)
            self._put(msgspec.structs.replace(volume, population="", populated_part=""))

    def _fill(self, name: str, layers: Sequence[Path], path: str, part: str) -> None:
        if not layers:
            return
        with content_of(layers, path) as source, part_of(self.mountpoint(name), part) as target:
            if source is None or target is None or not copying.is_empty(target):
                return
            volume = msgspec.structs.replace(self.get(name), populated_part=part)
            self._put(msgspec.structs.replace(volume, population="started"))
            copying.copy_tree(source, target)
            self._put(msgspec.structs.replace(volume, population="done"))

    def close(self) -> None:
        """Unmount the volumes that no container uses. Idempotent."""
        with self._lock:
            for name in self._volumes:
                if not self._users.get(name):
                    self._unmount(name)

    # ---- files ----------------------------------------------------------------------------------------

    def _put(self, volume: Volume) -> None:
        """Replace a volume's document, atomically and durably."""
        replace_file(self.root / volume.name / _DOCUMENT, _encode(volume))
        with self._lock:
            self._volumes[volume.name] = volume

    def _clear(self, path: Path) -> None:
        """Remove a directory, unless something is mounted in it."""
        if not mounting.mounts_below(path):
            shutil.rmtree(path, ignore_errors=True)


def _text_of(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _read(path: Path) -> Volume | None:
    """Read a volume's document. A directory without one is half-created and removed, unless it has data."""
    try:
        return _volumes.decode((path / _DOCUMENT).read_bytes())
    except (OSError, msgspec.MsgspecError) as error:
        cause = error
    try:
        for name in (_DATA, _EARLIER_DATA):
            with contextlib.suppress(FileNotFoundError):
                (path / name).rmdir()
    except OSError:
        log.error("volume %s keeps its data, but its options and labels are lost: %s", path.name, cause)
        return Volume(name=path.name, created=_text_of(datetime.fromtimestamp(path.stat().st_mtime, UTC)))
    with contextlib.suppress(OSError):
        for left in path.glob("volume.*"):  # a document, and a write that was cut off
            left.unlink()
        path.rmdir()
    return None
