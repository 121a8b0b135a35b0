"""``.keras`` files of which the same network gives the same bytes: without time and addresses of their writing."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from nlcli.stages.files import atomic_path

_METADATA, _CONFIG = "metadata.json", "config.json"
_NEVER = "1980-01-01@00:00:00"  # the first time that a ZIP archive can tell
_SHARED = "shared_object_id"


def settle_archive(path: Path) -> None:
    """Write the archive at ``path`` anew: its members in order and as old as ZIP allows, saved at no date.

    What layers share, which Keras tells by its address in memory, is numbered from 1.
    """
    with atomic_path(path) as temporary, zipfile.ZipFile(path) as given, zipfile.ZipFile(temporary, "w") as plain:
        for name in sorted(given.namelist()):
            member = zipfile.ZipInfo(name)  # of 1980
            member.compress_type = given.getinfo(name).compress_type
            if name == _METADATA:
                plain.writestr(member, json.dumps(json.loads(given.read(name)) | {"date_saved": _NEVER}))
            elif name == _CONFIG:
                plain.writestr(member, json.dumps(_numbered(json.loads(given.read(name)), {})))
            else:
                with given.open(name) as source, plain.open(member, "w", force_zip64=True) as target:
                    shutil.copyfileobj(source, target, 1 << 20)


def _numbered(value: Any, numbers: dict[Any, int]) -> Any:
    """``value`` with the numbers of shared objects in the order in which they come."""
    if isinstance(value, dict):
        return {
            key: numbers.setdefault(part, len(numbers) + 1)
            if key == _SHARED and isinstance(part, int)
            else _numbered(part, numbers)
            for key, part in value.items()
        }
    return [_numbered(part, numbers) for part in value] if isinstance(value, list) else value
