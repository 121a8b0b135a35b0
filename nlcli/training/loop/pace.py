"""How long pieces of work are. None of this changes a result; tests set it so that little is much.

These are read where they are used, as ``pace.FIRST_BLOCK``: whoever sets one here sets it for all.
"""

FIRST_BLOCK = 8
"""Steps in a training's first block, before its speed is known."""
BLOCK_SECONDS = 2.0
"""A block takes about this long, so that progress is seen and little is lost."""
BLOCK_STEPS = 1000
"""Most steps in a block."""
BLOCK_LABELS = 32 << 20
"""Most bytes of dense labels in a block."""
BLOCK_FEATURES = 64 << 20
"""Most bytes of features in a block, where they are streamed."""
BLOCK_PIXELS = 256 << 20
"""Most bytes of pixels in a block, where they are streamed."""
CHECKPOINT_SECONDS = 10.0
"""Least time between two checkpoints of a head on features."""
IMAGE_CHECKPOINT_SECONDS = 30.0
"""The same of a training from images, whose weights are larger."""
CHECKPOINT_SHARE = 0.05
"""Most of the time that writing checkpoints may take."""
CHECKED_IMAGES = 64
"""Images decoded between two looks at the progress."""
CHECKED_SECONDS = 10.0
"""Time between two notes of which images have been looked at."""
