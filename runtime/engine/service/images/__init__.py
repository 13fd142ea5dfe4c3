"""Images as a client of the daemon handles them: pull, tag, remove, commit."""
