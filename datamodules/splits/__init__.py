"""Which sample is in which split."""
