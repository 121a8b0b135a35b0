"""One page for people: what the stages' directories hold, in a file that needs nothing else."""
