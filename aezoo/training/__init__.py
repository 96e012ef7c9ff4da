"""Training: batches and their reductions, checks of data, and the execution of steps."""
