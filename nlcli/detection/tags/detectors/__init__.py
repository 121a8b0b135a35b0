"""Detectors of wrong and missing tags, one a file."""
