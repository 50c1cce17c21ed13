"""Training: one loop, stages, checkpoints, runs."""
