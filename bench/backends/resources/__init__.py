"""What backends make on the host, each named after its owner: directories, mounts, networks."""
