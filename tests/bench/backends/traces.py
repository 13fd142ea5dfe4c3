"""What a backend could leave behind on this host, as sets that can be compared before and after."""

from __future__ import annotations

from pathlib import Path

from bench.backends import mounts, processes


def traces(root: Path) -> dict[str, set[str]]:
    """Mounts and processes below `root`, and links, cgroups and nft tables that carry one of our prefixes."""
    return {
        "mounts": {str(path) for path in mounts.below(root)},
        "processes": {f"{pid} {path}" for pid, path in processes.rooted_below(root).items()},
        "idle programs": {str(pid) for pid in processes.pids() if _name(pid) in ("idle", "first")},
        "links": {
            name
            for name in (path.name for path in Path("/sys/class/net").iterdir())
            if name.startswith(("nn", "nv"))
        },
        "cgroups": {str(path) for path in _cgroups() if path.name.startswith("nn")},
        "owned directories": {str(path) for path in root.glob("*/*-*-*")},
        "descriptors": {str(sum(1 for _ in Path("/proc/self/fd").iterdir()))},
    }


def difference(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, set[str]]:
    """What there is afterwards and was not before."""
    return {kind: after[kind] - before[kind] for kind in before if after[kind] - before[kind]}


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _cgroups() -> list[Path]:
    top = Path("/sys/fs/cgroup")
    return [path for pattern in ("*", "*/*", "*/*/*") for path in top.glob(pattern) if path.is_dir()]
