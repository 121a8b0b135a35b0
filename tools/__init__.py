"""Programs that make the documentation: python -m tools.NAME."""
