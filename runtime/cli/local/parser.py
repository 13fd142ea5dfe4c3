"""The flags of `nn`, with docker's names.

argparse, not typer: typer takes 60 ms to import, ten times what a container takes to start. Nothing of the
runtime is imported here: `nn --help` and a mistyped flag answer at once.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from runtime.cli.errors import CliError

DEFAULT_ROOT = Path("/var/lib/ninetynine/runtime")
NETWORKS = ("none", "host", "bridge", "nat")

_EXAMPLES = """examples:
  nn --local import ./rootfs.tar debian
  nn --local run -it debian bash
  nn --local run --cpus 1.5 -p 8080:80 -v /srv/www:/www:ro web httpd -f -h /www
  nn --local run --network none --read-only --cap-drop ALL debian id
"""
_EXIT = "exit status: the program's own; 125 nn failed; 126 it cannot be executed; 127 it was not found"


class Parser(argparse.ArgumentParser):
    """Reports a wrong flag as docker does: exit status 125."""

    def error(self, message: str) -> NoReturn:
        """Raise CliError in place of ending the process."""
        raise CliError(f"{message}\nsee '{self.prog} --help'")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; the chosen command is in `command`."""
    parser = Parser(
        prog="nn --local",
        description="Run programs in containers, without a daemon.",
        epilog=f"{_EXAMPLES}\n{_EXIT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    root = Path(os.environ.get("NN_ROOT") or DEFAULT_ROOT)
    parser.add_argument("--root", type=Path, default=root, metavar="DIR", help="state (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    _add_run(commands)
    _add_images(commands)
    return parser


def _value(name: str) -> Callable[[str], Any]:
    """Return a parser of values.py that is imported when a flag needs it."""

    def parse(text: str) -> Any:
        from runtime.cli.local import values

        return getattr(values, name)(text)

    return parse


Commands = argparse._SubParsersAction


def _add_images(commands: Commands[Parser]) -> None:
    def add(name: str, text: str, example: str) -> Parser:
        return commands.add_parser(name, help=text, epilog=f"example: {example}", allow_abbrev=False)

    images = add("images", "list images", "nn --local images --json")
    images.add_argument("--json", action="store_true", help="as a JSON array")
    images.add_argument("-q", "--quiet", action="store_true", help="digests only")
    source = "a directory, a tar, or what docker save wrote"
    importing = add("import", f"make an image from {source}", "docker save app | nn --local import -")
    importing.add_argument("source", metavar="DIR|TAR|-", help=f"{source}; `-` is standard input")
    importing.add_argument("name", metavar="NAME", nargs="?", help="NAME[:TAG]; archives bring their own")
    for name, text in (("rmi", "remove images"), ("verify", "hash images' blobs and layers again")):
        add(name, text, f"nn --local {name} debian").add_argument("image", nargs="+", metavar="IMAGE")
    add("sweep", "free what killed runs have left", "nn --local sweep")


def _add_run(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "run",
        help="run a program in a new container",
        usage="nn --local run [FLAGS] IMAGE [COMMAND [ARG...]]",
        epilog=f"{_EXAMPLES}\n{_EXIT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,  # -h is --hostname, as with docker
        allow_abbrev=False,
    )
    _add_program_flags(parser.add_argument_group("program"))
    _add_limit_flags(parser.add_argument_group("limits"))
    _add_isolation_flags(parser.add_argument_group("isolation"))
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="COMMAND")


def _many(group: argparse._ArgumentGroup, *flags: str, metavar: str, text: str, parse: Any = str) -> None:
    group.add_argument(*flags, action="append", default=[], type=parse, metavar=metavar, help=text)


def _add_program_flags(group: argparse._ArgumentGroup) -> None:
    flag = group.add_argument
    flag("--help", action="help", help="show this and exit")
    flag("--rm", action="store_true", help="for docker's sake: a container always goes when it ends")
    flag("-i", "--interactive", action="store_true", help="keep standard input open")
    flag("-t", "--tty", action="store_true", help="give it a terminal")
    flag("--init", action="store_true", help="run a small init as pid 1: reaps, forwards signals")
    _many(group, "-e", "--env", metavar="NAME[=VALUE]", text="set a variable")
    _many(group, "--env-file", metavar="FILE", text="set variables, one a line", parse=Path)
    flag("-u", "--user", metavar="USER[:GROUP]", help="names from the image, or numbers")
    flag("-w", "--workdir", metavar="DIR", help="working directory")
    flag("-h", "--hostname", default="", metavar="NAME", help="host name inside")
    flag("--entrypoint", metavar="PROGRAM", help="in place of the image's entrypoint")
    _many(group, "--ulimit", metavar="NAME=SOFT[:HARD]", text="a resource limit", parse=_value("ulimit"))
    flag("--oom-score-adj", type=int, metavar="N", help="-1000 to 1000")


def _add_limit_flags(group: argparse._ArgumentGroup) -> None:
    flag = group.add_argument
    size, number = _value("size"), _value("positive")
    flag("-m", "--memory", type=size, metavar="BYTES", help="most memory, as in 512m")
    flag("--memory-swap", type=size, metavar="BYTES", help="most memory and swap together; -1 is no limit")
    flag("--cpus", type=_value("cpus"), metavar="N", help="most CPU time, in cores, as in 1.5")
    flag("-c", "--cpu-shares", type=number, metavar="N", help="relative weight, 1024 is usual")
    flag("--cpuset-cpus", "--cpuset", metavar="LIST", help="cores it may run on, as in 0-1,3")
    flag("--cpuset-mems", metavar="LIST", help="memory nodes it may use")
    flag("--pids-limit", type=number, metavar="N", help="most processes and threads")


def _add_isolation_flags(group: argparse._ArgumentGroup) -> None:
    flag = group.add_argument
    flag("--network", "--net", choices=NETWORKS, default="nat", help="default nat, which is docker's bridge")
    _many(group, "-p", "--publish", metavar="[IP:]HOST:PORT", text="publish a port", parse=_value("port"))
    _many(group, "-v", "--volume", metavar="HOST:PATH[:ro]", text="bind a path", parse=_value("volume"))
    _many(group, "--tmpfs", metavar="PATH[:size=N]", text="mount a tmpfs", parse=_value("temporary"))
    flag("--read-only", action="store_true", help="make the root read-only")
    _many(group, "--cap-add", metavar="CAP", text="give a capability", parse=_value("capability"))
    _many(group, "--cap-drop", metavar="CAP", text="take a capability", parse=_value("capability"))
    options = ("seccomp=unconfined", "no-new-privileges", "no-new-privileges:true")
    flag("--security-opt", action="append", default=[], choices=options, help="weaken or harden")
    _many(group, "--sysctl", metavar="NAME=VALUE", text="a kernel setting of its namespaces")
