"""Stand-ins for the images that compose's fixtures name, with busybox's httpd for what serves."""

from __future__ import annotations

from tests.studies.downstream.hub import StandIn

_SERVER = """#!/bin/sh
trap 'exit 0' INT QUIT TERM
httpd -f -p {port} -h {root} &
wait
"""
"""As pid 1, httpd itself would not heed a signal to stop."""

_CURL = """#!/bin/sh
for url; do :; done
exec wget -q -O - "$url"
"""
_BASH = """#!/bin/sh
exec sh "$@"
"""
_PRINTENV = """#!/bin/sh
[ $# = 0 ] && exec env
env | sed -n "s/^$1=//p" | grep .
"""
_NGINX = "/usr/share/nginx/html"
_WORD = '{"word":"busybox"}\n'


def _sentences(part: str, port: int, *command: str) -> StandIn:
    """A service of the demo: each answers for a word, whoever is asked."""
    return StandIn(
        f"gtardif/sentences-{part}",
        command=command,
        files={
            command[0][1:]: _SERVER.format(port=port, root="/srv"),
            "bin/curl": _CURL,
            "srv/index.html": "sentences\n",
            "srv/words/noun": _WORD,
        },
        config={"ExposedPorts": {f"{port}/tcp": {}}},
    )


IMAGES = (
    StandIn(
        "alpine",
        ("latest", "3.13", "3.13.12", "3.14", "3.15"),
        files={"bin/printenv": _PRINTENV},
        links={"usr/bin/env": "/bin/env", "var/run": "/run"},
    ),
    StandIn("busybox", ("1.35.0",), ["sh"]),
    StandIn("bash", command=["bash"], files={"bin/bash": _BASH}),
    StandIn("mariadb"),
    StandIn(
        "nginx",
        ("latest", "alpine"),
        ["nginx", "-g", "daemon off;"],
        {
            "bin/nginx": _SERVER.format(port=80, root=_NGINX),
            "bin/bash": _BASH,
            "bin/curl": _CURL,
            f"{_NGINX[1:]}/index.html": "<h1>Welcome to nginx!</h1>\n",
        },
        config={"ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGQUIT"},
    ),
    _sentences("db", 5432, "/bin/postgres"),
    _sentences("api", 8080, "/bin/java", "-Xmx8m", "-Xms8m", "-jar", "/app/words.jar"),
    _sentences("web", 80, "/dispatcher"),
)
