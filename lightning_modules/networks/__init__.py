"""Networks: plain torch modules that map normalised images to logits."""
