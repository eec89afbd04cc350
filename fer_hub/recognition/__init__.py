"""Recognition: pictures and videos -> faces with their expressions."""
