"""`python -m runtime.engine.spawner ROOT FD [private]`: the spawner of ROOT, on the listening socket FD.

private: it ends, with all its containers, once no daemon is connected any more.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
from pathlib import Path

_MOST_FILES = 1 << 20


def main() -> None:
    """Serve in a child until asked to end; the process that was started ends at once."""
    root, fd = Path(sys.argv[1]), int(sys.argv[2])
    if os.fork():
        os._exit(0)
    os.setsid()
    os.umask(0o022)
    Path("/proc/self/comm").write_text("nn-spawner")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    from runtime.engine.exec_process import hide_memory
    from runtime.engine.spawner.launch import PRIVATE
    from runtime.engine.spawner.server import Server

    hide_memory()
    with socket.socket(fileno=fd) as listener:
        listener.set_inheritable(False)
        Server(root, listener, private=PRIVATE in sys.argv[3:]).run()


if __name__ == "__main__":
    main()
