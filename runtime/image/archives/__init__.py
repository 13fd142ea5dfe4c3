"""Image archives: read, load into the store, save."""
