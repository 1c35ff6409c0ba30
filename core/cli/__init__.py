"""The command line: `freehold`."""
