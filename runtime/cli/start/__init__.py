"""The program `nn`: its start, its list of verbs, its help."""
