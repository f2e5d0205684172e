"""What happens on the way: history, checkpoints, stopping, progress, the writing of evaluations."""
