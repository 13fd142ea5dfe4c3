"""Networks of a daemon: their records, their members, and the names and addresses that follow."""
