"""Metrics: probabilities and labels in, numbers out."""
