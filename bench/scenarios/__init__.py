"""The workloads, a file a family, and what they share: see `base` for what one is, `registry` for all."""
