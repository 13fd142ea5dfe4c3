"""Docker's documents about containers and images, made from records. Only sizes and images read the disk."""
