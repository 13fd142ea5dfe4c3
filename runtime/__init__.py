"""A container runtime for Linux: spawn, oci, image, network, engine, cli. Knows nothing of the suite."""
