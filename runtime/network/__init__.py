"""Networks for containers: bridges, addresses, names, NAT, ports, and namespaces that wait for containers."""
