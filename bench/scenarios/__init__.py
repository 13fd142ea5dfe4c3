"""The workloads, one file per family. `base` has the protocol, `registry` the list, the rest is shared."""
