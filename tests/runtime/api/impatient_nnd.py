"""`nnd` that gives memory back at once, so that a test need not wait, and leaks with each event if asked to.

python -m tests.runtime.api.impatient_nnd UNUSED FLAG...; NINETYNINE_TEST_LEAK: a file of how many bytes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from runtime.api.daemon import heap
from runtime.api.nnd import main
from runtime.engine.service.host.events import EventBus

heap._EVERY_S, heap._WORK_S = 0.1, 0.0
leak = Path(os.environ["NINETYNINE_TEST_LEAK"])
leaked: list[bytes] = []
publish = EventBus.publish


def leaking(*arguments: Any, **more: Any) -> None:
    """Publish an event, and keep what nobody will ask for."""
    if size := int(leak.read_text()):
        leaked.append(b"x" * size)
    publish(*arguments, **more)


EventBus.publish = leaking  # type: ignore[method-assign]
sys.argv.pop(1)
sys.exit(main())
