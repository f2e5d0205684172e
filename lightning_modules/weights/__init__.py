"""Initial weights of a network: looked up, downloaded, read without running code, and loaded."""
