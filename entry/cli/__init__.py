"""The command line: Hydra, what it may build, and its error messages."""
