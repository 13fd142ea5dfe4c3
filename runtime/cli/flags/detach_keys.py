"""The keys that leave a program running: --detach-keys, or those of docker's config.json."""

from runtime.cli.connection.endpoint import docker_text
from runtime.cli.errors import CliError
from runtime.docker_syntax import MalformedError
from runtime.docker_syntax.detach_keys import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cli.flags.parser import Arguments


def choose(args: "Arguments", *, terminal: bool) -> None:
    """Check --detach-keys. At a terminal, without that flag, take those of docker's config.json for it."""
    _check("--detach-keys", args.text("detach-keys"))
    if terminal and not args.given("detach-keys") and (keys := docker_text("detachKeys")):
        _check("detachKeys in docker's config.json", keys)
        args.add("detach-keys", keys)


def _check(source: str, keys: str) -> None:
    try:
        parse(keys)
    except MalformedError:
        raise CliError(f'{source} "{keys}": write keys as in ctrl-p,ctrl-q') from None
