"""Parsers of Docker's notations, one module each, for client and daemon alike. Stdlib only, few imports.

A parser takes a text and returns plain values, or raises MalformedError. The daemon answers that with 400
(`runtime.engine.errors.refusing`), the client with the flag's name and a hint
(`runtime.cli.flags.flag_values`).
"""


class MalformedError(ValueError):
    """A text that is not valid in its notation. In dockerd's words where clients read them."""
