"""Files of a container: copied in and out, listed, compared with its image."""
