"""Training: batches and their reductions, checked data, and how steps run."""
