"""What the processes of a container do now: `docker top` and `docker stats`."""
