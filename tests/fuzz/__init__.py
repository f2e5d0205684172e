"""Untrusted files: valid ones with bytes or values changed. Reading them must succeed, or raise an error of our own."""
