"""Published ports: reserved on the host, led to a container by NAT or by a relay process."""
