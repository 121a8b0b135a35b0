"""Features of every image of a data set, computed once."""
