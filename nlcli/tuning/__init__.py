"""Options of a method searched for, by validation alone."""
