"""Data: any source of labelled faces -> tensors, classes and their counts."""
