"""Layers: unpacked, packed, verified, kept on disk."""
