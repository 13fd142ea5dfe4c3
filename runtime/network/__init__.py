"""Networks for containers: none, host, bridge and nat; a pool of ready namespaces; published ports."""

from runtime.network.errors import NetworkError
from runtime.network.manager import NetworkManager, sweep, uplink_warning
from runtime.network.model import Attachment, Bridge, Mode, Port

__all__ = [
    "Attachment",
    "Bridge",
    "Mode",
    "NetworkError",
    "NetworkManager",
    "Port",
    "sweep",
    "uplink_warning",
]
