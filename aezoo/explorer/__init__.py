"""Pages to explore a trained model in the browser: one HTML file with the model, samples and the runtime."""

from aezoo.explorer.pages import page, serve, write

__all__ = ["page", "serve", "write"]
