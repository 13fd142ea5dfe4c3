"""Kernel parameters (`net.core.somaxconn`) that are namespaced: namespaces(7), and runc's list."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

_IPC = frozenset(
    ("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
     "kernel.shmmni", "kernel.shm_rmid_forced")
)  # fmt: skip


def namespace_of(name: str) -> "Literal['network', 'ipc', 'uts'] | None":
    """Return the namespace type that has its own value of a parameter, None if it is global."""
    if name.startswith("net."):
        return "network"
    if name in _IPC or name.startswith("fs.mqueue."):
        return "ipc"
    return "uts" if name == "kernel.domainname" else None
