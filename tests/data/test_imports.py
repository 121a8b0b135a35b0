"""Importing the rooms of images, labels and numbers does nothing but define names, and needs no TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys

# Modules of networks that only functions import, after runtime.quiet_tensorflow.
KERAS = {"architectures", "backbone", "folding", "training_copy", "weights"}

PROGRAM = """
import importlib, json, os, pkgutil, sys, warnings
import PIL.Image

def state():
    return {
        "environment": dict(os.environ),
        "warnings": [str(item) for item in warnings.filters],
        "descriptors": sorted(os.listdir("/dev/fd"))[:-1],
        "plugins": sorted(PIL.Image.OPEN),
        "bomb": PIL.Image.MAX_IMAGE_PIXELS,
    }

for name in ("h5py", "numpy", "pydantic"):  # what libraries do when they are imported is their own affair
    importlib.import_module(name)
before, imported = state(), []
for room in ("nlcli.metrics", "nlcli.networks", "nlcli.data"):
    package = importlib.import_module(room)
    for module in pkgutil.walk_packages(package.__path__, room + "."):
        if module.name.rpartition(".")[2] not in json.loads(sys.argv[1]):
            importlib.import_module(module.name)
            imported.append(module.name)
after = state()
changed = [name for name in before if before[name] != after[name]]
heavy = [name for name in ("keras", "tensorflow", "matplotlib", "scipy.stats", "sklearn") if name in sys.modules]
print(json.dumps({"imported": len(imported), "changed": changed, "heavy": heavy}))
"""


def test_importing_has_no_side_effect() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(sorted(KERAS))],
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if not name.startswith(("TF_", "KERAS_"))},
    )
    assert run.stderr == ""
    told = json.loads(run.stdout)
    assert told.pop("imported") > 40
    assert told == {"changed": [], "heavy": []}
