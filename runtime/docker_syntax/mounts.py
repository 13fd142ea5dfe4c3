"""Propagation modes of mounts, and the options of a tmpfs (`size=64m,mode=1777`)."""

from runtime.docker_syntax import MalformedError

PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_OPPOSITES = {
    "ro": "rw", "rw": "ro", "exec": "noexec", "noexec": "exec", "suid": "nosuid", "nosuid": "suid",
    "dev": "nodev", "nodev": "dev", "sync": "async", "async": "sync", "atime": "noatime", "noatime": "atime",
    "relatime": "strictatime", "strictatime": "relatime", "diratime": "nodiratime", "nodiratime": "diratime",
}  # fmt: skip
"""Flag → the flag that it overrides."""
_COUNTS, _NUMBERS = ("size", "nr_inodes", "nr_blocks"), ("uid", "gid")


def tmpfs_options(text: str) -> tuple[str, ...]:
    """Return the mount options of `--tmpfs PATH:text`: docker's defaults, overridden.

    Raises MalformedError for options that the kernel would refuse, see tmpfs(5).
    """
    chosen = dict.fromkeys(("nosuid", "nodev", "noexec"))
    unknown = []
    for option in (option for option in text.split(",") if option):
        name, sign, value = option.partition("=")
        if option in _OPPOSITES:
            chosen.pop(_OPPOSITES[option], None)
        elif option in PROPAGATIONS or (sign and _is_usable(name, value)):
            same = PROPAGATIONS if not sign else [key for key in chosen if key.startswith(f"{name}=")]
            for other in same:
                chosen.pop(other, None)
        else:
            unknown.append(option)
        chosen[option] = None
    if unknown:
        raise MalformedError(f"invalid tmpfs option {unknown}; see tmpfs(5)")
    return tuple(chosen)


def _is_usable(name: str, value: str) -> bool:
    """Say whether the kernel accepts an option's value."""
    if name == "mode":
        return _is_number(value, 8)
    if name in _NUMBERS:
        return _is_number(value) and len(value) < 11
    if name not in _COUNTS:
        return name == "mpol"
    units = "kmgtpe%" if name == "size" else "kmgtpe"
    return _is_number(value) or (value[-1:].lower() in units and _is_number(value[:-1]))


def _is_number(text: str, base: int = 0) -> bool:
    """Say whether a text is a number. base 0: 0x10 and 010 as in C."""
    lower = text.lower()
    base = base or (16 if lower.startswith("0x") else 8 if lower.startswith("0") else 10)
    try:
        return text.isascii() and text.isalnum() and int(text, base) < 1 << 63
    except ValueError:
        return False
