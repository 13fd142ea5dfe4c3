"""A run in the terminal: on one screen (`summary`), and all of it (`details`)."""
