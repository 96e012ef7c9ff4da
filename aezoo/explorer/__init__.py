"""Explore a trained model in the browser: one HTML page that holds the model, samples and all that runs them."""

from aezoo.explorer.pages import page, serve, write

__all__ = ["page", "serve", "write"]
