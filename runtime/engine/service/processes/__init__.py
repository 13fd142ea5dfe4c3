"""`docker top` and `docker stats`: the processes of a container and what they use."""
