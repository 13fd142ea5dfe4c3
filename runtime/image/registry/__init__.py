"""The client of OCI and Docker registries: images come and go, and only what the other side lacks travels."""
