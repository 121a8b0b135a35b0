"""Image files in folders: one rule for every stage of what is taken for a picture or a class, and what never is."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nlcli.console import say
from nlcli.errors import NlcliError
from nlcli.stages.publishing import is_ours

IMAGE_SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jfif",
        ".jpe",
        ".jif",
        ".pjpeg",
        ".png",
        ".gif",
        ".bmp",
        ".webp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".jp2",
        ".avif",
    }
)
_UNREAD_SUFFIXES = frozenset(
    {
        *(
            ".heic",
            ".heif",
            ".hif",
            ".jxl",
            ".svg",
            ".psd",
            ".ai",
            ".eps",
            ".xcf",
            ".ico",
            ".tga",
            ".exr",
            ".hdr",
            ".pdf",
        ),
        *(".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw", ".raw"),
        *(".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".3gp", ".wmv"),
        *(".zip", ".tar", ".gz", ".tgz", ".rar", ".7z"),
    }
)
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip", ".rar", ".7z", ".gz")
MAKE_READABLE = "make it readable (chmod -R u+rX)"
_MOST_NAMED = 3

DRIVES = "left by drives, desktops and programs"
HIDDEN = "hidden"
UNFINISHED = "unfinished downloads and temporary files"
UNREAD = "pictures, films and archives of kinds that are not read"
OURS = "made by nlcli"
OTHER = "not images"
BESIDE = "beside the folders of classes"
_LEFT_BY_DRIVES = frozenset(
    {
        *("@eadir", "#recycle", "@recycle", "@recently-snapshot", "@tmp", "@sharebin", "@__thumb", "#snapshot"),
        *("__macosx", "icon\r", "network trash folder", "temporary items", "thevolumesettingsfolder"),
        *("$winreagent", "$sysreset", "$getcurrent", "$windows.~bt", "$windows.~ws"),
        *("$recycle.bin", "system volume information", "desktop.ini", "autorun.inf"),
        *("thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "zbthumbnail.info", "pspbrwse.jbf"),
        *("picasa.ini", "lost+found", "lost.dir", "__pycache__", "node_modules"),
        *("recycler", "recycled", "recycle bin", "config.msi", "~snapshot", "captureone"),
        *("thumbnails", "_thumbnails", "_thumbs", "aquota.user", "aquota.group"),
    }
)
"""Names in lower case."""
_HIDDEN_BY_PROGRAMS = frozenset(
    {
        *(".thumbnails", ".thumb", ".thumbs", ".picasaoriginals", ".picasa.ini", ".ipynb_checkpoints", ".directory"),
        *(".spotlight-v100", ".trashes", ".fseventsd", ".temporaryitems", ".apdisk", ".appledouble", ".trash"),
        *(".bridgecache", ".bridgecachet", ".@__thumb", ".snapshot", ".zfs", ".stversions", ".nomedia"),
        *(".documentrevisions-v100", ".localized", ".synologyworkingdirectory", ".sync", ".stfolder", ".dropbox.cache"),
    }
)
_NUMBERED_BY_DRIVES = re.compile(r"found\.\d{3}|\.trash-\d+|\.fuse_hidden\w+|\.nfs\w+")
_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".download", ".!ut", ".aria2", "~")


@dataclass
class LeftOut:
    """What a walk left out: how many of each kind, and some of their names."""

    counts: Counter[str] = field(default_factory=Counter)
    names: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, kind: str, name: str) -> None:
        """Count something."""
        self.counts[kind] += 1
        some = self.names.setdefault(kind, {})
        if len(some) <= _MOST_NAMED:
            some[name] = None

    def kinds(self) -> str:
        """How many of each kind, and some of their names."""
        parts = [f"{count:,} {kind} ({name_some(list(self.names[kind]))})" for kind, count in self.counts.items()]
        return "; ".join(parts)

    def sentence(self, root: Path) -> str | None:
        """What to say of it; None where nothing was left out."""
        return f"note: left out below {root}: {self.kinds()}" if self.counts else None


@dataclass(frozen=True)
class ImageFile:
    """An image to annotate: its key, where it lies, and its size in bytes."""

    key: str
    path: Path
    size: int


def name_some(names: Sequence[str], between: str = ", ") -> str:
    """The first few of ``names``, for a sentence."""
    return between.join(names[:_MOST_NAMED]) + (" ..." if len(names) > _MOST_NAMED else "")


# --- images ----------------------------------------------------------------------------------


def folder_labels(folders: Sequence[Path]) -> list[str]:
    """Names that tell ``folders`` apart: the last parts of their paths, as few as suffice.

    The same folder given twice gets the same name twice.
    """
    whole = [Path(os.path.abspath(folder)) for folder in folders]
    for count in range(1, max(len(folder.parts) for folder in whole) + 1):
        names = ["/".join(part.strip("/") for part in folder.parts[-count:]) for folder in whole]
        if len(set(names)) == len(set(whole)):
            return names
    raise AssertionError("different folders have different paths")


def find_images(folders: Sequence[Path]) -> dict[Path, dict[str, ImageFile]]:
    """Image files in ``folders`` and their subfolders, by their path in the folder (with ``/``).

    What was left out (see ``walk_files``) is said by kind and count.

    Raises:
        NlcliError: a folder is missing or cannot be read, or a name is not UTF-8.
    """
    by_folder: dict[Path, dict[str, ImageFile]] = {}
    for folder, label in zip(folders, folder_labels(folders), strict=True):
        by_folder[folder] = {
            name: ImageFile(f"{label}/{name}", folder / name, size) for name, size in walk_images(folder)
        }
    return by_folder


def walk_images(folder: Path) -> Iterator[tuple[str, int]]:
    """Path in ``folder`` and bytes of every image in it and its subfolders, -1 of one that cannot be looked at.

    At the end it is said what was left out.

    Raises:
        NlcliError: as ``find_images``.
    """
    if not folder.is_dir():
        raise NlcliError(f"image folder {folder} {not_there(folder)}; give the folder that holds the images")
    require_utf8(os.path.abspath(folder), "the path of the images")
    left_out = LeftOut()
    for name, entry in walk_files(folder, left_out=left_out):
        if is_image(name):
            require_utf8(entry.name, folder / os.path.dirname(name))
            yield name, _size(entry)
        else:
            left_out.add(kind_of_other(name), entry.name)
    told = left_out.sentence(folder)
    if told is not None:
        say(told)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:  # a link to nowhere: reading it says so, image by image
        return -1


def not_there(folder: Path) -> str:
    """What is said of a ``folder`` that is none."""
    if os.path.exists(folder):
        return "is a file"
    near = near_folder(folder)
    return "does not exist" if near is None else f"does not exist ({near})"


def near_folder(folder: Path) -> str | None:
    """What lies where a ``folder`` is not, as a clause with what to do: its archive, or one in other capitals."""
    try:
        beside = sorted(os.listdir(folder.parent))
    except OSError:
        return None
    for name in beside:
        if name.casefold() == folder.name.casefold() and name != folder.name:
            return f"'{name}' is there: names must be the same in capitals, too"
    for name in beside:
        if name.casefold().startswith(folder.name.casefold()) and name.lower().endswith(ARCHIVES):
            return f"the archive '{name}' is there: unpack it"
    return None


def is_image(name: str) -> bool:
    """Whether a file of that name is taken for an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def kind_of_other(name: str) -> str:
    """Which kind of thing that is left out a file of that name is, which is not taken for an image."""
    return UNREAD if os.path.splitext(name)[1].lower() in _UNREAD_SUFFIXES else OTHER


def walk_files(
    root: Path, inside: str = "", *, left_out: LeftOut | None = None, above: tuple[str, ...] = ()
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Files in a folder and its subfolders with their paths in ``root``, sorted; links to folders are followed.

    What is hidden, what drives and desktops leave beside pictures, and directories of stages are left out.

    Args:
        root: The folder.
        inside: Where to begin, a path in ``root`` with a slash at its end.
        left_out: Counts what is left out.
        above: Real paths of the folders that this one is in.

    Raises:
        NlcliError: a folder cannot be listed, is a link to a folder above it, or has a name that is not UTF-8.
    """
    real = os.path.realpath(root / inside)
    if real in above:
        raise NlcliError(f"{root / inside} is a link to a folder above it; remove the link")
    for entry in list_folder(root / inside):
        kind = _never(entry)
        if kind is not None:
            if left_out is not None:
                left_out.add(kind, entry.name)
            continue
        name = f"{inside}{entry.name}"
        if not is_folder(entry):
            yield name, entry
            continue
        require_utf8(entry.name, root / inside)
        yield from walk_files(root, f"{name}/", left_out=left_out, above=(*above, real))


def class_folders(root: Path, left_out: LeftOut | None = None) -> list[str]:
    """Names of the folders in ``root`` that may be classes, sorted."""
    names = []
    for entry in list_folder(root):
        kind = _never(entry)
        if kind is not None:
            if left_out is not None:
                left_out.add(kind, entry.name)
        elif is_folder(entry):
            require_utf8(entry.name, root)
            names.append(entry.name)
        elif left_out is not None:
            left_out.add(BESIDE, entry.name)
    return names


def list_folder(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, sorted by name.

    Raises:
        NlcliError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as listed:
            return sorted(listed, key=lambda entry: entry.name)
    except OSError as error:
        do = f"; {MAKE_READABLE}" if isinstance(error, PermissionError) else ""
        raise NlcliError(f"cannot list image folder {folder}: {error.strerror}{do}") from error


def require_utf8(name: str, folder: Path | str) -> None:
    """Refuse a name that is no text in UTF-8: none of the files that are written could hold it.

    Raises:
        NlcliError: with the name, its bytes escaped, and what to do.
    """
    try:
        name.encode()
        if sys.getfilesystemencoding() != "utf-8":
            os.fsencode(name)
        return
    except UnicodeEncodeError:
        pass
    raw = name.encode(errors="surrogateescape") if sys.getfilesystemencoding() == "utf-8" else None
    if raw is None:
        with contextlib.suppress(UnicodeError):
            name = os.fsencode(name).decode()
        shown = name.encode("ascii", "backslashreplace").decode()
        raise NlcliError(
            f"the name '{shown}' in {folder} is not ASCII, and Python takes the names of files for "
            f"{sys.getfilesystemencoding()} here; set PYTHONUTF8=1 (export PYTHONUTF8=1) and run the same command again"
        )
    raise NlcliError(
        f"the name '{raw.decode(errors='backslashreplace')}' in {folder} is not UTF-8; rename it, or all of an old "
        f"archive at once: convmv -f latin1 -t utf8 -r --notest {folder}"
    )


def is_utf8(name: str) -> bool:
    """Whether ``name``, as the system gives it, is text in UTF-8."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether ``entry`` is a folder or leads to one; a link that leads nowhere is none."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _never(entry: os.DirEntry[str]) -> str | None:
    """Which kind of thing that is never a picture or a class ``entry`` is; None for the others."""
    name = entry.name.lower().rstrip(" ")
    if name in _LEFT_BY_DRIVES or _NUMBERED_BY_DRIVES.fullmatch(name):
        return DRIVES
    if name.startswith((".", "~$")):
        return DRIVES if name.startswith(("._", ".ds_store")) or name in _HIDDEN_BY_PROGRAMS else HIDDEN
    folder = is_folder(entry)
    if name.endswith(_UNFINISHED) and not folder:
        return UNFINISHED
    if folder and is_ours(Path(entry.path)):
        return OURS
    return None
