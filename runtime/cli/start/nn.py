"""`nn`: docker's verbs and flags, sent to a daemon; with `--local`, to one started for this command alone.

A verb imports only what it needs: `nn run` takes a few milliseconds, most of them Python's own start.
Exit status as docker's: that of the program for run and exec; 125 for wrong flags or when nn failed; else 1.
"""

import gc
import posix
import sys

from runtime.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli.connection.client import Client
    from runtime.cli.flags.parser import CommandLine, Verb


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run `nn` and return its exit status. Errors are printed, not raised."""
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except CliError as error:
        _flush()
        print(f"nn: {error}", file=sys.stderr)
        return error.status
    except BrokenPipeError:  # a reader such as head has ended
        posix.dup2(posix.open("/dev/null", posix.O_WRONLY), 1)
        return 141
    except KeyboardInterrupt:
        return 130


def _flush() -> None:
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        posix.dup2(posix.open("/dev/null", posix.O_WRONLY), 1)


def _main(argv: list[str]) -> int:
    if argv[:1] == ["run"]:
        return _run(argv[1:])
    from runtime.cli.flags import parser

    try:
        given = parser.parse_flags("", parser.GLOBAL, argv, program=True)
    except parser.HelpAskedError:
        return _help([])
    if given.on("version"):
        from runtime.cli.verbs.system import own_version

        print(f"nn {own_version()}")
        return 0
    if not given.words or given.words == ["help"]:
        return _help([])
    if given.words[0] == "help":
        return _help(given.words[1:])
    from runtime.cli.start import index

    local = given.on("local") or given.given("root")
    name, rest = index.split(given.words, local=local)
    return _perform(name, rest, given, local=local)


def _run(words: list[str]) -> int:
    """Run `nn run`, the verb whose start time matters."""
    from runtime.cli.connection.client import Client, find, preconnect

    endpoint, sock = preconnect()  # before the imports below: the daemon accepts meanwhile
    from runtime.cli.verbs.running import RUN

    return _act("run", RUN, words, Client(endpoint or find, sock))


def _perform(name: str, words: list[str], given: "CommandLine", *, local: bool) -> int:
    """Run one verb."""
    from runtime.cli.connection.client import Client, find
    from runtime.cli.start import index

    if given.given("config"):
        for place in (b"NN_CONFIG", b"DOCKER_CONFIG"):  # docker's flag moves its config.json, too
            posix.environ[place] = given.text("config").encode()
    if local:
        return _perform_locally(name, words, given)
    client = Client(lambda: find(given.text("host"), given.text("context"), _tls(given)))
    return _act(name, index.load(name), words, client)


def _perform_locally(name: str, words: list[str], given: "CommandLine") -> int:
    """Run one verb with a private daemon, which starts at the verb's first request."""
    if given.given("host") or given.given("context"):
        raise CliError("use either --local, or -H or -c: each names a daemon")
    from runtime.cli.connection.private_daemon import PrivateClient
    from runtime.cli.start import index

    client = PrivateClient(given.text("root"))
    try:
        return _act(name, index.load(name), words, client)
    finally:
        client.leave()


def _act(name: str, verb: "Verb", words: list[str], client: "Client") -> int:
    from runtime.cli.flags import parser

    try:
        args = parser.parse(name, verb, words)
    except parser.HelpAskedError:
        return _help(name.split())
    status = verb.act(client, args)
    sys.stdout.flush()
    return status


def _tls(given: "CommandLine") -> "dict[str, str]":
    """Return what the global flags set of TLS, by DaemonEndpoint's fields."""
    names = {"tlscacert": "ca", "tlscert": "cert", "tlskey": "key"}
    found = {field: given.text(name) for name, field in names.items() if given.given(name)}
    if given.on("tls") or given.on("tlsverify"):
        found["verify"] = "true" if given.on("tlsverify") else "false"
    return found


def _help(words: list[str]) -> int:
    from runtime.cli.start import help_pages

    print(help_pages.page(words), end="")
    return 0


def script() -> None:
    """Run main as the program `nn`, and exit without Python's clean-up, which takes time."""
    gc.disable()  # nothing lives long enough to need it
    status = main()
    _flush()
    sys.stderr.flush()
    posix._exit(status)


if __name__ == "__main__":
    sys.exit(main())
