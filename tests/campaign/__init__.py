"""Hostile input, made by the hundred, through every door: `python -m tests.campaign` ends in a table of counts."""
