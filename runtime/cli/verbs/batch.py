"""Do the same for each of several words: print failures and go on; the status is then 1.

forced: a missing object is reported, but is not a failure, as with docker's --force.
"""

from __future__ import annotations

import sys

from runtime.cli.errors import CliError, DaemonError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future


def in_order(words: Sequence[str], act: Callable[[str], object], *, forced: bool = False) -> int:
    """Act on one word after the other; print each word that worked, or the text that `act` returns."""
    status = 0
    for word in words:
        status = max(status, _one(word, act, forced))
    return status


def in_parallel(words: Sequence[str], act: Callable[[str], object], *, forced: bool = False) -> int:
    """Act on all words at the same time, for what may take long; the output is in the order of the words.

    `act` makes its own client, since a connection serves one request at a time.
    """
    if len(words) == 1:
        return in_order(words, act, forced=forced)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(len(words), 50)) as pool:
        waiting = [(word, pool.submit(act, word)) for word in words]
        return max(_one(word, _resulting(future), forced) for word, future in waiting)


def _resulting(future: Future[object]) -> Callable[[str], object]:
    return lambda _word: future.result()


def _one(word: str, act: Callable[[str], object], forced: bool) -> int:
    try:
        result = act(word)
    except CliError as error:
        sys.stdout.flush()
        print(f"nn: {error}", file=sys.stderr)
        return 0 if forced and isinstance(error, DaemonError) and error.code == 404 else 1
    text = result if isinstance(result, str) else word
    if text:
        print(text)
    return 0
