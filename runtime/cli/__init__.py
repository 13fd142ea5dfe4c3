"""The command line `nn`: a thin client of the engine, in the same process."""
