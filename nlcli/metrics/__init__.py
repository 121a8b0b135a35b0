"""Metrics computed from labels and scores; no files, no networks."""
