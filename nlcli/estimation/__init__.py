"""From arrays to estimates: NumPy and SciPy alone, no files, tables or networks."""
