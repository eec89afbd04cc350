"""Command line: the command `fer-hub`."""
