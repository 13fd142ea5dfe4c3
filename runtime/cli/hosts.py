"""`--add-host`: lines of /etc/hosts as docker's client reads them. Pure."""

from runtime.cli.errors import misuse
from runtime.docker_syntax import MalformedError
from runtime.docker_syntax.extra_hosts import parse


def extra_host(text: str) -> str:
    """`NAME:IP` or `NAME=IP` → the API's `NAME:IP`. CliError for neither."""
    try:
        return ":".join(parse(text))
    except MalformedError as error:
        raise misuse("--add-host", text, f"{error}; write NAME:IP") from None
