"""OCI runtime-spec → a cached plan of system calls."""
