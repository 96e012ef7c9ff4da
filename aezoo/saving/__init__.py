"""Saving: presets, exports, and resuming what was interrupted."""
