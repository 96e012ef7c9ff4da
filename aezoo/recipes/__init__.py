"""Recipes of the presets: how to train, describe, verify and serve the models of `saved_models/`."""
