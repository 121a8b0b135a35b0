"""Data sets: labels, statistics, and what is made of them."""
