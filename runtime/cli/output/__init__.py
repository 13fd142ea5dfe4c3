"""What `nn` prints: tables, templates, progress."""
