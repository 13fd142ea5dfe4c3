"""Places to mount on that lie behind a symbolic link which leads nowhere: they are made where it points to.

The tape makes what is missing one directory after the other, and would stop at such a link.
"""

from __future__ import annotations

import os

from runtime.engine.inroot import make_behind_link
from runtime.engine.mount_point_layer import FILES
from runtime.engine.prepare import Prepared
from runtime.engine.roots import Root


def make_places(root: Root, prepared: Prepared) -> None:
    """Make them for what is mounted on `root`; what cannot be made is left to the start, which says why.

    Those of FILES that are in the layers are only looked at once the container has an /etc of its own.
    """
    known = root.targets and not os.path.isdir(f"{root.home}/u/etc")  # noqa: PTH112 - on the start path
    directories = iter(prepared.shape.directories)
    for mount in prepared.config.mounts:
        bind = "rbind" in mount.options or "bind" in mount.options
        directory = next(directories) if bind else True
        if not (known and mount.destination[1:] in FILES):
            make_behind_link(root.fd, mount.destination, directory=directory)
