"""Where work runs: one file per system under test, all behind `bench.backends.base`."""
