"""Convert mount options, as in /etc/fstab and the OCI spec, to flags and data."""

from __future__ import annotations

import msgspec

from runtime.spawn import linux

FLAGS = {
    "ro": linux.MS_RDONLY,
    "nosuid": linux.MS_NOSUID,
    "nodev": linux.MS_NODEV,
    "noexec": linux.MS_NOEXEC,
    "nosymfollow": linux.MS_NOSYMFOLLOW,
    "noatime": linux.MS_NOATIME,
    "nodiratime": linux.MS_NODIRATIME,
    "relatime": linux.MS_RELATIME,
    "strictatime": linux.MS_STRICTATIME,
}
_DEFAULTS = {"rw", "suid", "dev", "exec", "atime", "defaults", "async", "bind", "rbind"}
PROPAGATION = {
    "private": linux.MS_PRIVATE,
    "rprivate": linux.MS_PRIVATE | linux.MS_REC,
    "slave": linux.MS_SLAVE,
    "rslave": linux.MS_SLAVE | linux.MS_REC,
    "shared": linux.MS_SHARED,
    "rshared": linux.MS_SHARED | linux.MS_REC,
    "unbindable": linux.MS_UNBINDABLE,
    "runbindable": linux.MS_UNBINDABLE | linux.MS_REC,
}
PART = "x-part="
"""Our own option: a path below the bind's source."""
SHALLOW = "x-shallow"
"""Our own option: the flags apply to the mount itself, not to those below it."""
ATTRIBUTES = {
    "ro": linux.MOUNT_ATTR_RDONLY,
    "nosuid": linux.MOUNT_ATTR_NOSUID,
    "nodev": linux.MOUNT_ATTR_NODEV,
    "noexec": linux.MOUNT_ATTR_NOEXEC,
    "nosymfollow": linux.MOUNT_ATTR_NOSYMFOLLOW,
    "noatime": linux.MOUNT_ATTR_NOATIME,
    "nodiratime": linux.MOUNT_ATTR_NODIRATIME,
}


class MountOptions(msgspec.Struct, frozen=True):
    """Options by kind: `flags` for mount(2), `attributes` for mount_setattr(2), `data` for the driver.

    part: path below a bind's source. shallow: attributes do not apply to mounts below.
    """

    flags: int = 0
    attributes: int = 0
    propagation: int = 0
    bind: bool = False
    recursive: bool = False
    data: str = ""
    part: str = ""
    shallow: bool = False


def parse_options(options: tuple[str, ...]) -> MountOptions:
    """Parse `options`; unknown ones are data for the file system."""
    flags = attributes = propagation = 0
    data, part = [], ""
    for option in options:
        if option in FLAGS:
            flags |= FLAGS[option]
            attributes |= ATTRIBUTES.get(option, 0)
        elif option in PROPAGATION:
            propagation = PROPAGATION[option]
        elif option.startswith(PART):
            part = option.removeprefix(PART)
        elif option not in _DEFAULTS and option != SHALLOW:
            data.append(option)
    return MountOptions(
        flags=flags,
        attributes=attributes,
        propagation=propagation,
        bind="bind" in options or "rbind" in options,
        recursive="rbind" in options,
        data=",".join(data),
        part=part,
        shallow=SHALLOW in options,
    )
