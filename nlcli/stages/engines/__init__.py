"""Who does the shards of a stage: this process, several on this machine, or the workers of a Ray cluster."""
