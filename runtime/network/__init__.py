"""Networks for containers: bridges, addresses, names, NAT, published ports, and a pool of namespaces."""
