"""What learns: LightningModules, and the networks beneath them."""
