"""Which weights a network starts from: found, downloaded, read without running code, and fitted."""
