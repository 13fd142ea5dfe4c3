"""`-v`, `--mount`, `--tmpfs`, `--device` → the API's forms. Reads only the working directory and HOME."""

import posix

from runtime.cli.errors import misuse
from runtime.cli.flags.flag_values import pair, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOUNT = "write type=bind|volume|tmpfs,src=SOURCE,dst=PATH[,readonly]"
_DEVICE = "write /dev/NAME[:/PATH][:rwm]"
_NAMES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}


def volumes(texts: list[str]) -> "tuple[list[str], dict[str, dict[str, str]]]":
    """`-v` words → HostConfig.Binds and Config.Volumes (the anonymous ones)."""
    binds: list[str] = []
    anonymous: dict[str, dict[str, str]] = {}
    for text in dict.fromkeys(texts):
        source, colon, rest = text.partition(":")
        if not colon:
            if not text.startswith("/"):
                raise misuse(
                    "--volume", text, "write SOURCE:PATH[:ro], or an absolute PATH for an anonymous volume"
                )
            anonymous[text] = {}
            continue
        if not source or not rest.startswith("/") or rest.count(":") > 1:
            raise misuse("--volume", text, "write SOURCE:PATH[:ro] with an absolute PATH")
        binds.append(f"{absolute(source)}:{rest}")
    return binds, anonymous


def absolute(source: str) -> str:
    """Make a local path (`.`, `./x`, `~/x`) absolute; leave names of volumes as they are."""
    if source.startswith("~/"):
        home = posix.environ.get(b"HOME", b"").decode()
        return home + source[1:] if home else source
    if source in (".", "..") or source.startswith(("./", "../")):
        import os.path

        return os.path.abspath(source)  # noqa: PTH100 - pathlib is slow to import
    return source


def fields(flag: str, text: str) -> list[str]:
    """Split comma-separated fields, with CSV's quotes."""
    if '"' not in text:
        return text.split(",")
    import csv

    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise misuse(flag, text, str(error)) from error


def mount(text: str) -> "dict[str, Any]":
    """One `--mount` → an element of HostConfig.Mounts."""
    asked: dict[str, Any] = {"Type": "volume"}
    parts: dict[str, dict[str, Any]] = {"BindOptions": {}, "VolumeOptions": {}, "TmpfsOptions": {}}
    for one in fields("--mount", text):
        name, equals, value = one.partition("=")
        name = _NAMES.get(name.strip().lower(), name.strip().lower())
        if not equals and name not in ("readonly", "volume-nocopy", "bind-nonrecursive"):
            raise misuse("--mount", text, _MOUNT)
        _set(text, asked, parts, name, value if equals else "true")
    kind = {"bind": "BindOptions", "volume": "VolumeOptions", "tmpfs": "TmpfsOptions"}.get(asked["Type"])
    if kind is None or not asked.get("Target"):
        raise misuse("--mount", text, _MOUNT)
    foreign = [name for name, options in parts.items() if options and name != kind]
    if foreign:
        raise misuse("--mount", text, f"it has options that type={asked['Type']} does not have")
    if parts[kind]:
        asked[kind] = parts[kind]
    return asked


def _set(
    text: str, asked: "dict[str, Any]", parts: "dict[str, dict[str, Any]]", name: str, value: str
) -> None:
    """Set one field."""
    bind, volume, tmpfs = parts["BindOptions"], parts["VolumeOptions"], parts["TmpfsOptions"]
    match name:
        case "type":
            asked["Type"] = value.lower()
        case "source":
            asked["Source"] = absolute(value)
        case "target":
            asked["Target"] = value
        case "readonly":
            asked["ReadOnly"] = _on(text, value)
        case "consistency":
            asked["Consistency"] = value
        case "bind-propagation":
            bind["Propagation"] = value
        case "bind-nonrecursive":
            bind["NonRecursive"] = _on(text, value)
        case "bind-recursive" if value in ("enabled", "disabled", "writable", "readonly"):
            names = {
                "disabled": "NonRecursive",
                "writable": "ReadOnlyNonRecursive",
                "readonly": "ReadOnlyForceRecursive",
            }
            if value in names:
                bind[names[value]] = True
        case "volume-nocopy":
            volume["NoCopy"] = _on(text, value)
        case "volume-subpath":
            volume["Subpath"] = value
        case "volume-label":
            volume.setdefault("Labels", {})[value.partition("=")[0]] = value.partition("=")[2]
        case "volume-driver":
            volume.setdefault("DriverConfig", {})["Name"] = value
        case "volume-opt":
            key, one = pair("--mount", value)
            volume.setdefault("DriverConfig", {}).setdefault("Options", {})[key] = one
        case "tmpfs-size":
            tmpfs["SizeBytes"] = size("--mount tmpfs-size", value)
        case "tmpfs-mode" if value and set(value) <= set("01234567"):
            tmpfs["Mode"] = int(value, 8)
        case _:
            raise misuse("--mount", text, f"{name}={value} is unknown; {_MOUNT}")


def _on(text: str, value: str) -> bool:
    from runtime.docker_syntax import MalformedError, booleans

    try:
        return booleans.parse(value)
    except MalformedError:
        raise misuse("--mount", text, f"{value} is not true or false") from None


def tmpfs(texts: list[str]) -> dict[str, str]:
    """`--tmpfs` words → HostConfig.Tmpfs."""
    found = {}
    for text in texts:
        path, _, options = text.partition(":")
        if not path.startswith("/"):
            raise misuse("--tmpfs", text, "write /PATH[:OPTIONS], as in /tmp:size=64m,mode=1777")
        found[path] = options
    return found


def device(text: str) -> dict[str, str]:
    """`/dev/sda`, `/dev/sda:/dev/x:rw`, `/dev/sda:r` → an element of HostConfig.Devices."""
    source, *rest = text.split(":")
    inside, rights = source, "rwm"
    if len(rest) == 1 and _are_rights(rest[0]):
        rights = rest[0]
    elif rest:
        inside, rights = (*rest, "rwm")[:2]
    if not source or len(rest) > 2:
        raise misuse("--device", text, _DEVICE)
    if not inside.startswith("/"):
        raise misuse("--device", text, f"{inside} is not an absolute path; {_DEVICE}")
    if not _are_rights(rights):
        raise misuse("--device", text, f"bad mode specified: {rights}; {_DEVICE}")
    return {"PathOnHost": source, "PathInContainer": inside, "CgroupPermissions": rights}


def _are_rights(text: str) -> bool:
    """Whether the text has only r, w and m, each at most once."""
    return bool(text) and set(text) <= set("rwm") and len(set(text)) == len(text)
