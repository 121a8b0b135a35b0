"""Finished stages told to programs that collect experiments."""
