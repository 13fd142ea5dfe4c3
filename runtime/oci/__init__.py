"""Turn an OCI runtime-spec into a cached plan of system calls."""
