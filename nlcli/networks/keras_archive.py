"""``.keras`` files without the time of writing, so that the same network gives the same bytes."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

from nlcli.stages.files import atomic_path

_METADATA = "metadata.json"
_NEVER = "1980-01-01@00:00:00"  # the first time that a ZIP archive can tell


def forget_time(path: Path) -> None:
    """Write the archive at ``path`` anew, its members as old as ZIP allows and in order, and none saved at any date."""
    with atomic_path(path) as temporary, zipfile.ZipFile(path) as given, zipfile.ZipFile(temporary, "w") as plain:
        for name in sorted(given.namelist()):
            member = zipfile.ZipInfo(name)  # of 1980
            member.compress_type = given.getinfo(name).compress_type
            if name == _METADATA:
                plain.writestr(member, json.dumps(json.loads(given.read(name)) | {"date_saved": _NEVER}))
            else:
                with given.open(name) as source, plain.open(member, "w", force_zip64=True) as target:
                    shutil.copyfileobj(source, target, 1 << 20)
