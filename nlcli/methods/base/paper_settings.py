"""Settings of papers that several methods share."""

from __future__ import annotations

from typing import Any

# Xiao 2015, section 5.2: rate 0.001, times 0.1 every 50,000 iterations, "until it converges". Momentum 0.9 and
# weight decay 5e-4 are those of the authors' program for their own method, batches of 256 Caffe's for AlexNet.
XIAO_PLAIN: dict[str, Any] = {
    "optimizer": "sgd",
    "learning_rate": 1e-3,
    "steps": 150_000,
    "decay": 0.1,
    "decay_steps": 50_000,
    "weight_decay": 5e-4,
    "batch_size": 256,
}

# Section 4.2 of Hu 2019 (coco) and of Hu 2018 (coco-2018, open-images): "variants of fine-tuning".
HU_FINETUNING: dict[str, dict[str, Any]] = {
    "coco": {"optimizer": "adam", "learning_rate": 1e-4, "steps": 50_000},
    "coco-2018": {"optimizer": "rmsprop", "learning_rate": 1e-4, "steps": 100_000, "batch_size": 64},
    "open-images": {"optimizer": "rmsprop", "learning_rate": 1e-4, "steps": 4_000_000},
}

# Section 4.4 of Veit 2017, the same for all that it fine-tunes. Its decay every 2 epochs is one of the 9,011,219
# training images, in batches of 32: by epochs of the clean set the rate would be gone after a hundredth of the steps,
# and by those of the 29 noisy rows of a mixed batch its own method would keep a rate longer than its rivals.
VEIT_SETTINGS: dict[str, Any] = {
    "optimizer": "rmsprop",
    "learning_rate": 1e-3,
    "steps": 4_000_000,
    "decay": 0.94,
    "decay_steps": 563_200,
}
VEIT_FINETUNING: dict[str, dict[str, Any]] = {"open-images-2017": VEIT_SETTINGS}
