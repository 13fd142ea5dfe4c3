"""Plan a container's mounts: binds, volumes and tmpfs, from four kinds of options.

`-v` (Binds), `--mount` (Mounts), `--volumes-from` and an image's VOLUME lead to the same mounts. A
destination that was asked for wins over an image's; two requests for one are refused. Pure, except that
sources are looked for on the host.
"""

from __future__ import annotations

import posixpath
import secrets
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runtime.docker_syntax.mounts import PROPAGATIONS
from runtime.engine.errors import BadParameterError
from runtime.engine.service.model.record import MountPoint
from runtime.engine.service.model.request import BindOptions, Config, HostConfig, MountRequest, VolumeOptions
from runtime.engine.service.rules.bind_rules import check_options, settle

if TYPE_CHECKING:
    from runtime.image.layers.layer_view import LayerView

_SHARED = "z"  # what Docker says of volumes with a name
_IGNORED_MODES = ("z", "Z", "cached", "delegated", "consistent")
_SUBPATH = "subpath="
ANONYMOUS_LABEL = "com.docker.volume.anonymous"


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A mount, and for a volume how it is made when it does not exist."""

    point: MountPoint
    volume: VolumeOptions | None = None


def plan_mounts(
    config: Config,
    host: HostConfig,
    mounts_of: Callable[[str], Sequence[MountPoint]],
    *,
    daemon_root: str = "",
    shallow: bool = False,
) -> tuple[Planned, ...]:
    """Return all mounts of a container, in the order of their depth. Raises BadParameterError.

    mounts_of: what another container has, by its name or id. Volumes have no source yet. A tmpfs of
    HostConfig's Tmpfs is not among them (docker's inspect shows it there only), but takes its place.
    daemon_root, shallow: see bindrules.settle.
    """
    found: dict[str, Planned] = {}
    for spec in host.volumes_from or ():
        for point in _from_container(spec, mounts_of):
            found[point.destination] = Planned(point=point)
    taken = {clean_target(path) for path in host.tmpfs or {}}
    asked = [Planned(point=parse_bind(text, host.volume_driver)) for text in host.binds or ()]
    asked += [_of_request(request) for request in host.mounts or ()]
    for mount in asked:
        destination = mount.point.destination
        if destination in taken:
            raise BadParameterError(f"Duplicate mount point: {destination}")
        taken.add(destination)
        found[destination] = Planned(
            point=settle(mount.point, daemon_root, shallow=shallow), volume=mount.volume
        )
    for path in config.volumes or {}:
        destination = clean_target(path)
        if destination not in taken and destination not in found:
            check_target(destination, f"invalid volume specification: '{path}'", "volume")
            found[destination] = Planned(point=_anonymous(destination))
    return tuple(sorted(found.values(), key=_depth))


def parse_bind(text: str, driver: str = "") -> MountPoint:
    """Read `[source:]target[:options]` of `-v`. Raises BadParameterError in docker's words."""
    parts = text.split(":")
    wrong = f"invalid volume specification: '{text}'"
    if len(parts) > 3 or not all(parts[:2]):
        raise BadParameterError(wrong)
    if len(parts) == 1:
        target = clean_target(parts[0])
        check_target(target, wrong, "volume")
        return _anonymous(target)
    source, target = parts[0], clean_target(parts[1])
    mode = parts[2] if len(parts) == 3 else ""
    bound = source.startswith("/")
    check_target(target, wrong, "bind" if bound else "volume")
    words = [word for word in mode.split(",") if word]
    propagation = _check_mode(mode, words, wrong, bound=bound)
    return MountPoint(
        type="bind" if bound else "volume",
        destination=target,
        source=posixpath.normpath(source) if bound else "",
        name="" if bound else source,
        mode=mode if bound else mode or _SHARED,
        read_only="ro" in words,
        propagation=(propagation or "rprivate") if bound else "",
        propagation_implied=bound and not propagation,
        no_copy="nocopy" in words,
    )


def _check_mode(mode: str, words: list[str], wrong: str, *, bound: bool) -> str:
    """Return the propagation among the options."""
    access = [word for word in words if word in ("ro", "rw")]
    propagation = [word for word in words if word in PROPAGATIONS]
    known = {*access, *propagation, *_IGNORED_MODES} | (set() if bound else {"nocopy"})
    if propagation and not bound:
        wrong += ': invalid mount config for type "volume"'
        raise BadParameterError(f"{wrong}: field BindOptions must not be specified")
    if set(words) - known or len(access) > 1 or len(propagation) > 1:
        raise BadParameterError(f"invalid mode: {mode}")
    return propagation[0] if propagation else ""


def _of_request(request: MountRequest) -> Planned:
    """One `--mount`."""
    wrong = f'invalid mount config for type "{request.type}"'
    if not request.target:
        raise BadParameterError(f"{wrong}: field Target must not be empty")
    target = clean_target(request.target)
    check_target(target, "", request.type)
    match request.type:
        case "bind":
            return Planned(point=_bind_request(request, target, wrong))
        case "volume":
            return _volume_request(request, target, wrong)
        case "tmpfs":
            return Planned(point=_tmpfs_request(request, target, wrong))
        case _:
            raise BadParameterError(f"{wrong}: mount type unknown")


def _bind_request(request: MountRequest, target: str, wrong: str) -> MountPoint:
    options = request.bind_options or BindOptions()
    if not request.source:
        raise BadParameterError(f"{wrong}: field Source must not be empty")
    if not request.source.startswith("/"):
        raise BadParameterError(
            f"{wrong}: invalid mount path: '{request.source}' mount path must be absolute"
        )
    if not options.create_mountpoint and not Path(request.source).exists():
        raise BadParameterError(f"{wrong}: bind source path does not exist: {request.source}")
    propagation = options.propagation
    if propagation and propagation not in PROPAGATIONS:
        raise BadParameterError(f"{wrong}: invalid propagation mode: {propagation}")
    if request.volume_options is not None:
        raise BadParameterError(f"{wrong}: field VolumeOptions must not be specified")
    check_options(options, read_only=request.read_only)
    return MountPoint(
        type="bind",
        destination=target,
        source=posixpath.normpath(request.source),
        read_only=request.read_only,
        propagation=propagation or "rprivate",
        propagation_implied=not propagation,
        non_recursive=options.non_recursive,
        read_only_non_recursive=options.read_only_non_recursive,
    )


def _volume_request(request: MountRequest, target: str, wrong: str) -> Planned:
    options = request.volume_options
    if request.bind_options is not None:
        raise BadParameterError(f"{wrong}: field BindOptions must not be specified")
    if request.read_only and not request.source:
        raise BadParameterError(f"{wrong}: must not set ReadOnly mode when using anonymous volumes")
    if options and options.subpath:
        if not request.source:
            raise BadParameterError(f"{wrong}: must not set Subpath when using anonymous volumes")
        if not _is_local(options.subpath):
            raise BadParameterError(f"{wrong}: subpath must be a relative path within the volume")
    name = request.source or secrets.token_hex(32)
    point = MountPoint(
        type="volume",
        destination=target,
        name=name,
        mode=_SHARED,
        read_only=request.read_only,
        anonymous=not request.source,
        no_copy=bool(options and options.no_copy),
        options=(_SUBPATH + options.subpath,) if options and options.subpath else (),
    )
    return Planned(point=point, volume=options)


def _is_local(path: str) -> bool:
    """Say whether a path, taken literally, stays below its start."""
    return not path.startswith("/") and posixpath.normpath(path).split("/")[0] != ".."


def subpath_of(point: MountPoint) -> str:
    """Return the part of a volume that a mount is limited to."""
    found = (option.removeprefix(_SUBPATH) for option in point.options if option.startswith(_SUBPATH))
    return next(found, "") if point.type == "volume" else ""


def _tmpfs_request(request: MountRequest, target: str, wrong: str) -> MountPoint:
    if request.source:
        raise BadParameterError(f"{wrong}: field Source must not be specified")
    if request.bind_options is not None:
        raise BadParameterError(f"{wrong}: field BindOptions must not be specified")
    options = request.tmpfs_options
    words = ["nosuid", "nodev", "noexec"]
    for option in (options.options or ()) if options else ():
        if option not in (["exec"], ["noexec"]):
            raise BadParameterError(f"{wrong}: invalid option: {'='.join(option)}")
        words[2:3] = option
    if options and options.size_bytes:
        words.append(f"size={options.size_bytes}")
    if options and options.mode:
        words.append(f"mode={options.mode:o}")
    return MountPoint(type="tmpfs", destination=target, read_only=request.read_only, options=tuple(words))


def _from_container(spec: str, mounts_of: Callable[[str], Sequence[MountPoint]]) -> list[MountPoint]:
    """Return a mount of another container: read-only stays so, and a volume gets no files of this image."""
    ref, _, mode = spec.partition(":")
    wrong = f'invalid volumes-from specification: "{spec}"'
    if not ref:
        raise BadParameterError(f"{wrong}; write CONTAINER[:ro]")
    words = [word for word in mode.split(",") if word]
    if {"ro", "rw"} <= set(words) or set(words) - {"ro", "rw", *_IGNORED_MODES}:
        raise BadParameterError(f"{wrong}: invalid mode: {mode}; write CONTAINER[:ro]")
    return [
        msgspec.structs.replace(
            point, mode=mode or point.mode, read_only=point.read_only or "ro" in words, no_copy=True
        )
        for point in mounts_of(ref)
        if point.type != "tmpfs"
    ]


def _anonymous(target: str) -> MountPoint:
    return MountPoint(type="volume", destination=target, name=secrets.token_hex(32), anonymous=True)


def check_target(target: str, wrong: str, kind: str) -> None:
    """Refuse an invalid destination, with `prefix` before the message. BadParameterError."""
    prefix = (f"{wrong}: " if wrong else "") + f'invalid mount config for type "{kind}"'
    if not target.startswith("/"):
        raise BadParameterError(f"{prefix}: invalid mount path: '{target}' mount path must be absolute")
    if target == "/":
        raise BadParameterError(f"{prefix}: invalid specification: destination can't be '/'")


def clean_target(path: str) -> str:
    """Clean a destination as Go's filepath.Clean does, without `..` and doubled slashes."""
    cleaned = posixpath.normpath(path) if path else ""
    return "/" + cleaned.lstrip("/") if cleaned.startswith("/") else cleaned


def _depth(planned: Planned) -> tuple[int, str]:
    return planned.point.destination.count("/"), planned.point.destination


def check_volume_paths(tree: LayerView, paths: Iterable[str]) -> None:
    """Refuse, in docker's words, an anonymous volume over a file of the image. Blocks. BadParameterError."""
    for path in paths:
        node = tree.find(path)
        if node is not None and not node.is_directory:
            raise BadParameterError(f"cannot mount volume over existing file, file exists {path}")
