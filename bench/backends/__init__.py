"""Where work runs: one file a system under test, all behind `bench.backends.base`."""
