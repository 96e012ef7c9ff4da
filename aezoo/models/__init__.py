"""Variants of the autoencoder, one per file."""
