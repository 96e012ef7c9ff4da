"""Presets, exports, and the state that resumes an interrupted training."""
