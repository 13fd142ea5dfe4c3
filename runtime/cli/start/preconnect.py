"""The way to the daemon of `nn run`. To import this connects it: the daemon takes it while the rest loads.

WHERE: its address, None where there is none; SOCK: connected, None where that has to wait for who may wait.
What stands in the way is told when the connection is needed.
"""

from runtime.cli.connection import endpoint
from runtime.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

WHERE: "endpoint.Endpoint | None" = None
SOCK: "_socket.socket | None" = None
try:
    WHERE = endpoint.find()
    if WHERE.host.startswith("unix:"):
        SOCK = endpoint.connect(WHERE)
except CliError:
    pass
