"""A container's root file system as a descriptor, for a running container and for one that is not.

Every path is resolved by the kernel beneath that descriptor (openat2, RESOLVE_IN_ROOT, no magic links): no
symbolic link, however it is swapped meanwhile, leads to a file of the host (CVE-2018-15664).
"""

from __future__ import annotations
