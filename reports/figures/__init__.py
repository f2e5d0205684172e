"""Every figure of an evaluation."""
