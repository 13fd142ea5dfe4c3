"""Images as archive files: `docker save`, OCI layouts."""
