"""What the API shows of a container: Docker's documents, made of records. Pure, but for sizes."""
