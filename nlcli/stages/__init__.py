"""Stages: directories that are made whole or not at all, and what runs them."""
