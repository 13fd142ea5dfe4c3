"""The store: images by name and id, over the layers."""
