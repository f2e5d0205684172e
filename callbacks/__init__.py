"""Lightning callbacks: history, checkpoints, signals, progress, checks and the writing of predicted masks."""
