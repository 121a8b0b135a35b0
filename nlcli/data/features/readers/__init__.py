"""Files of vectors that other programs wrote: a reader for each format, rows in their order, a few at a time."""
