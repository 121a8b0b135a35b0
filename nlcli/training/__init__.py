"""The two stages that train: heads and whole networks."""
