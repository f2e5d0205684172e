"""Label spaces: which classes there are, in which order and in which colours. Data only."""
