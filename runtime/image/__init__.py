"""Images: an OCI image layout on disk whose layers are unpacked once and shared by all containers."""
