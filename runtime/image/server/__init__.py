"""A registry server: the OCI distribution-spec from a directory."""
