"""The verbs of `nn`, one module for each subject."""
