"""Operations on images: tag, remove, load, import, commit."""
