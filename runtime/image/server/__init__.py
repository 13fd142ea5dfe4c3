"""Our own registry: OCI distribution-spec 1.1 on plain files, for Docker's media types too."""
