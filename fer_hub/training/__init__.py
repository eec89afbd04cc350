"""Training: the loop and everything that it alone needs."""
