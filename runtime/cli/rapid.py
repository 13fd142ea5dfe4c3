"""`POST /nn/run`: create, attach, start, wait and remove a container in one exchange. Only our daemon has it.

Request: `Upgrade: nn-run` and a JSON body `{"Name": "", "Platform": "", "DetachKeys": "", "Create": {…}}`, where
Create is the body of `POST /containers/create` (its AttachStdin, AttachStdout, AttachStderr, OpenStdin and Tty
say what to attach, its HostConfig.AutoRemove whether it goes at the end).

Answer: an error of create or start as the API has it, `{"message": …}` with its status (404 for the image), and
nothing is left of the container. Otherwise `101`, with the container's id in the header `Nn-Container`, once the
program runs; from then on frames both ways, each an 8 byte head (kind, three zeros, length big-endian):

| to the client | |
|---|---|
| 1, 2 | standard output (and all of a tty), standard error |
| 4 | the end: `{"StatusCode": 0, "Error": ""}`, after the last output and, with AutoRemove, after the removal |

| to the daemon | |
|---|---|
| 0 | standard input; without payload its end |
| 5 | a signal, its number in one byte |
| 6 | the terminal's size: rows and columns, two bytes each, big-endian |

A connection that ends before kind 4 is a detach: the container goes on.
"""

STDIN, STDOUT, STDERR, END, SIGNAL, RESIZE = 0, 1, 2, 4, 5, 6
"""Kinds of frames."""


def frame(kind: int, payload: bytes) -> bytes:
    """A frame: head and payload."""
    return bytes((kind, 0, 0, 0)) + len(payload).to_bytes(4, "big") + payload
