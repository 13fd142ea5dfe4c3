"""Networks of a daemon: their records and members, and the names and addresses that follow."""
