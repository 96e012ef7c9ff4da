"""Layer-wise pretraining: greedy stacks, restricted Boltzmann machines, deep belief networks."""
