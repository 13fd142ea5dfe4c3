"""Interfaces to the kernel: rtnetlink, nftables, conntrack, network namespaces."""
