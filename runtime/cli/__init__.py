"""The command line `nn`: a client of the daemon."""
