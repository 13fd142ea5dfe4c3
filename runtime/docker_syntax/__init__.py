"""Docker's notations, each read by one module for client and daemon alike. Stdlib only, few imports.

A reader takes a text and returns plain values, or raises MalformedError. The daemon answers that with 400
(`runtime.engine.errors.refusing`), the client with the flag's name and a hint
(`runtime.cli.flags.flag_values`).
"""


class MalformedError(ValueError):
    """A text that its notation does not allow. Worded as dockerd words it, where clients read that."""
