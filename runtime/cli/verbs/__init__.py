"""The verbs of `nn`, one module a subject."""
