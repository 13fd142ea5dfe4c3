"""Standard streams of programs: attached clients and logs."""
