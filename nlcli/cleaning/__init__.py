"""Cleaned labels: what a detection or a run proposes becomes a data set whose noisy labels are rewritten."""
