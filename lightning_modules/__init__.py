"""LightningModules and what they are made of: networks, losses, schedules and weights."""
