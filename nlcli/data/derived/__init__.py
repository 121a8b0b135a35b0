"""Data sets made of data sets: noise planted, near-duplicates left out."""
