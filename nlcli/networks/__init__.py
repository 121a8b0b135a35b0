"""From image files to features: decoding, networks, their weights."""
