"""Many short epochs of one training: what grows in its processes and in its folder."""
