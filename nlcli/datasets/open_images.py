"""Open Images V1: machine labels of nine million images, human ones for a part.

Splits as Veit et al. 2017 and Hu et al. use them (pool T is train without verification, V train
with it):

========== ==================================================================================
train      the training images (T), and a seeded quarter of the validation images (V)
validation a share of V held out for checkpoints (``validation_share``; the papers have none)
test       the other three quarters of the validation images
========== ==================================================================================

- Noisy labels are the machine's, with their confidence; of a class that an image carries several
  times the highest confidence counts, and a confidence of 0 is no label.
- Human labels with confidence 1 are present, with 0 absent; every other class of the image is
  unverified. Where a person said both, the class is unverified, too (counted).
- Classes: the ids of ``classes.txt`` in its order, or, where there is none, those of ``dict.csv``
  that are trainable by the data set's own rule: at least 50 validation and 20 training images with
  a machine label. Labels of other classes are left out and counted.
- Groups, the high-level categories of Veit 2017, table 1, were never published class by class. A
  table of one's own (CSV: class id or name, group) is taken as it is. From a class hierarchy (JSON,
  such as ``bbox_labels_600_hierarchy.json`` or V2's ``bbox_hierarchy.json``) a class gets the group
  of its nearest ancestor in ``resources/open_images_groups.csv``, our assignment of the hierarchies'
  upper nodes to the eight categories. A hierarchy covers the 600 classes with boxes, not the others.

The files are read in blocks, an image is a 64-bit number until the table is written. Formats:
``images.csv`` (quoted fields; only ImageID is read; may be absent), ``labels.csv`` with
``ImageID,Source,LabelName,Confidence``, ``dict.csv`` without header. The folders may have V1's
names or be ``train/`` and ``validation/`` with V2's file names.
"""

from __future__ import annotations

import csv
import math
import os
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.config import BuildOpenImages
from nlcli.datasets.listing import TEST, TRAIN, VALIDATION, compare_counts, enumerate_some, read_lines, shown
from nlcli.errors import NlcliError
from nlcli.labels import NONE, PARTIAL, SPLITS, LabelTable, write_dataset
from nlcli.progress import progress, say
from nlcli.stage import fingerprint_json, open_stage, read_json

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SUBSETS = ("train", "validation")
# Veit 2017, section 4.1.
PUBLISHED = {
    "train_images": 9_011_219, "validation_images": 167_056, "train_labels": 79_156_606,
    "validation_labels": 2_047_758, "classes": 6_012,
}
TRAINABLE = {"train": 20, "validation": 50}  # images with the label, by the data set's own description
_FILES = {
    "images": ("images_2016_08/{}/images.csv", "{}/images.csv"),
    "machine": ("machine_ann_2016_08/{}/labels.csv", "{}/annotations-machine.csv"),
    "human": ("human_ann_2016_08/{}/labels.csv", "{}/annotations-human.csv"),
}
_HEADER = "ImageID,Source,LabelName,Confidence"
_BLOCK_BYTES = 16 << 20
_STREAM = 0x6F70656E
_ID = re.compile(r"[0-9a-f]{16}")


def build_open_images(config: BuildOpenImages, *, force: bool = False) -> Path:
    """Build the data set; see the module's docstring.

    Peak memory for the full set is measured by ``benchmarks/open_images.py``.

    Returns:
        The data set directory.

    Raises:
        NlcliError: a file is missing or has a malformed line, an image is in train and validation,
            or most labels name classes that the class list does not have.
    """
    files = {
        (kind, subset): _find(config.root, kind, subset) for kind in _FILES for subset in SUBSETS
    }
    for kind, subset in (("machine", "train"), ("machine", "validation"), ("human", "validation")):
        if files[kind, subset] is None:
            places = " or ".join(name.format(subset) for name in _FILES[kind])
            raise NlcliError(f"{config.root} has no {places}; give the folder where Open Images was unpacked")
    class_list = config.classes
    if class_list is None and (config.root / "classes.txt").is_file():
        class_list = config.root / "classes.txt"
    dictionary = config.root / "dict.csv" if (config.root / "dict.csv").is_file() else None
    if class_list is None and dictionary is None:
        raise NlcliError(f"{config.root} has neither classes.txt nor dict.csv; give a list of class ids with --classes")
    inputs: dict[str, Any] = {"classes": class_list, "dictionary": dictionary, "groups": config.groups}
    inputs |= {f"{kind}_{subset}": path for (kind, subset), path in files.items()}
    if config.images is not None:
        listings = {subset: _on_disk(config.images / subset) for subset in SUBSETS}
        inputs["listing"] = fingerprint_json([_digest(ids) for ids in listings.values()])
    with open_stage("dataset", config, inputs, seed=config.seed, force=force) as stage:
        if stage.up_to_date:
            return stage.output
        names = {} if dictionary is None else read_dictionary(dictionary)
        ids = tuple(names) if class_list is None else read_class_list(class_list)
        images = {subset: _image_ids(files["images", subset], files["machine", subset]) for subset in SUBSETS}
        _refuse_shared(images)
        left_out = Counter[str]()
        if config.images is not None:
            images = {
                subset: _present(config, subset, images[subset], listings[subset], left_out) for subset in SUBSETS
            }
        read = _Reader(ids, images, left_out)
        machine = [read.labels(files["machine", subset], subset) for subset in SUBSETS]
        human = [read.labels(files["human", subset], subset, human=True) for subset in SUBSETS]
        read.refuse_strangers()
        noisy = stack(machine)
        del machine
        present, absent, both = _split_human(stack(human))
        if class_list is None:
            keep = _trainable(noisy, len(images["train"]))
            if not len(keep):
                raise NlcliError("no class has 20 training and 50 validation images; give the class ids with --classes")
            noisy, present, absent = (take_columns(matrix, keep) for matrix in (noisy, present, absent))
            ids = tuple(ids[i] for i in keep)
        classes = unique_names(ids, names)
        table = _table(config, ids, classes, images, noisy, present, absent, names)
        counts = compare_counts(
            {
                "train_images": len(images["train"]), "validation_images": len(images["validation"]),
                "train_labels": int(noisy.indptr[len(images["train"])]),
                "validation_labels": int(noisy.nnz - noisy.indptr[len(images["train"])]), "classes": len(ids),
            },
            PUBLISHED, "Open Images V1",
        )
        if both:
            say(f"note: {both:,} labels are called present and absent by people; they count as unverified")
        write_dataset(stage.work, table, {
            "name": "Open Images V1", "source": "machine labels; labels verified by people for validation images",
            "class_ids": list(ids), "counts": counts, "left_out": dict(left_out), "contradictions": both,
        })
        stage.finish(_summary(table) | {
            "left_out_labels": sum(n for what, n in left_out.items() if what.endswith("labels")),
            "missing_images": left_out["missing images"], "contradictions": both,
            "as_published": not counts["differing"],
        })
    return stage.output


def _find(root: Path, kind: str, subset: str) -> Path | None:
    for name in _FILES[kind]:
        path = root / name.format(subset)
        if path.is_file():
            return path
    return None


def _table(
    config: BuildOpenImages, ids: tuple[str, ...], classes: tuple[str, ...], images: dict[str, np.ndarray],
    noisy: csr_array, present: csr_array, absent: csr_array, names: dict[str, str],
) -> LabelTable:
    trained, held = len(images["train"]), len(images["validation"])
    split = np.full(trained + held, TEST, np.int8)
    split[:trained] = TRAIN
    clean = choose_clean_part(held, config.clean_share, config.validation_share, config.seed)
    split[trained:][clean == 1] = TRAIN
    split[trained:][clean == 2] = VALIDATION
    verified = (np.diff(present.indptr) + np.diff(absent.indptr)) > 0
    keys = np.concatenate([hex_keys(images[subset]) for subset in SUBSETS])
    paths = np.concatenate([hex_keys(images[subset], f"{subset}/", ".jpg") for subset in SUBSETS])
    groups = None if config.groups is None else read_groups(config.groups, ids, classes, names)
    return LabelTable(
        task="multi-label", classes=classes, groups=groups, keys=keys, paths=paths,
        image_root=Path(os.path.abspath(config.images or config.root / "images")), split=split,
        noisy=noisy, present=present, absent=absent, verification=np.where(verified, PARTIAL, NONE).astype(np.uint8),
    )


def choose_clean_part(count: int, share: float, held_out: float, seed: int) -> np.ndarray:
    """What each validation image (sorted by id) becomes: 0 test, 1 clean set V, 2 held out of V: int8."""
    part = np.zeros(count, np.int8)
    order = np.random.default_rng([seed, _STREAM]).permutation(count)[: round(share * count)]
    part[order] = 1
    part[order[: round(held_out * len(order))]] = 2
    return part


def _summary(table: LabelTable) -> dict[str, Any]:
    found: dict[str, Any] = {"classes": table.num_classes}
    size = {name: np.diff(getattr(table, name).indptr) for name in ("noisy", "present", "absent")}
    for number, name in enumerate(SPLITS):
        rows = table.split == number
        found[name] = int(rows.sum())
        found[f"{name}_verified"] = int(np.sum(rows & (table.verification > NONE)))
        for what, label in (("noisy", "noisy_labels"), ("present", "present"), ("absent", "absent")):
            found[f"{name}_{label}"] = int(size[what][rows].sum())
    if table.groups is not None:
        found["classes_with_group"] = sum(group is not None for group in table.groups)
    return found


# --- images ----------------------------------------------------------------------------------


def parse_ids(column: Any) -> np.ndarray | None:
    """Image ids (16 hexadecimal digits) of an Arrow string array as uint64; None where one is malformed."""
    column = column.cast("string") if str(column.type) != "string" else column
    if column.null_count:
        return None
    count, first = len(column), column.offset
    _, offsets, data = column.buffers()
    where = np.frombuffer(offsets, np.int32)[first : first + count + 1]
    if count and not np.all(np.diff(where) == 16):
        return None
    if not count:
        return np.zeros(0, np.uint64)
    text = np.frombuffer(data, np.uint8)[where[0] : where[-1]].reshape(count, 16)
    digits = _NIBBLE[text]
    if digits.max() > 15:
        return None
    packed = (digits[:, 0::2] << 4) | digits[:, 1::2]
    return np.ascontiguousarray(packed).view(">u8")[:, 0].astype(np.uint64)


_NIBBLE = np.full(256, 255, np.uint8)
_NIBBLE[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


def hex_keys(ids: np.ndarray, before: str = "", after: str = "") -> np.ndarray:
    """(n,) object array of strings: ids as 16 hexadecimal digits between ``before`` and ``after``."""
    import pyarrow as pa

    head, tail = (np.frombuffer(text.encode("ascii"), np.uint8) for text in (before, after))
    width = len(head) + 16 + len(tail)
    found = np.empty(len(ids), object)
    block = 1 << 20
    for start in range(0, len(ids), block):
        part = ids[start : start + block]
        text = np.empty((len(part), width), np.uint8)
        text[:, : len(head)] = head
        text[:, width - len(tail) :] = tail
        packed = part.astype(">u8").view(np.uint8).reshape(-1, 8)
        text[:, len(head) : len(head) + 16 : 2] = _DIGITS[packed >> 4]
        text[:, len(head) + 1 : len(head) + 17 : 2] = _DIGITS[packed & 15]
        offsets = np.arange(len(part) + 1, dtype=np.int32) * width
        strings = pa.StringArray.from_buffers(len(part), pa.py_buffer(offsets), pa.py_buffer(text.tobytes()))
        found[start : start + block] = strings.to_numpy(zero_copy_only=False)
    return found


def _image_ids(listing: Path | None, labels: Path | None) -> np.ndarray:
    """Sorted ids of the images of a subset, from its images.csv, or from the labels where there is none."""
    parts = []
    source = listing or labels
    assert source is not None
    if listing is None:
        say(f"note: there is no images.csv beside {labels}; images without any label are not known")
    for batch in _blocks(source, ["ImageID"], newlines=listing is not None):
        ids = parse_ids(batch.column(0))
        if ids is None:
            raise NlcliError(_malformed_id(batch.column(0), source))
        parts.append(ids if listing is not None else np.unique(ids))
    ids = np.concatenate(parts) if parts else np.zeros(0, np.uint64)
    del parts
    ids.sort()
    repeated = np.flatnonzero(ids[1:] == ids[:-1])
    if listing is not None and len(repeated):
        raise NlcliError(f"{listing}: image {ids[repeated[0]]:016x} is listed twice; remove one of the two")
    if listing is None and len(repeated):
        ids = np.unique(ids)
    if not len(ids):
        raise NlcliError(f"{source} lists no images")
    return ids


def _malformed_id(column: Any, path: Path) -> str:
    value = next(value for value in column.to_pylist() if value is None or not _ID.fullmatch(value))
    return f"{path}: ImageID '{shown(str(value))}' is not 16 hexadecimal digits{_line_of(path, value)}"


def _line_of(path: Path, value: str | None) -> str:
    start = ("" if value is None else value) + ","
    with open(path, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if line.startswith((start, f'"{value}"')):
                return f" (line {number})"
    return ""


def _refuse_shared(images: dict[str, np.ndarray]) -> None:
    train, validation = images["train"], images["validation"]
    where = np.minimum(np.searchsorted(train, validation), len(train) - 1)
    shared = validation[train[where] == validation]
    if len(shared):
        raise NlcliError(
            f"{len(shared):,} images are listed for train and for validation ({shared[0]:016x}); an image may be in "
            "one of them only"
        )


def _on_disk(folder: Path) -> np.ndarray:
    """Sorted ids of the files ``ID.jpg`` in ``folder``."""
    found = array("Q")
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                stem, suffix = os.path.splitext(entry.name)
                if suffix == ".jpg" and _ID.fullmatch(stem):
                    found.append(int(stem, 16))
    except OSError as error:
        sentence = f"cannot list {folder}: {error.strerror}; --images names the folder with train/ and validation/"
        raise NlcliError(sentence) from error
    return np.sort(np.frombuffer(found, np.uint64)) if found else np.zeros(0, np.uint64)


def _digest(ids: np.ndarray) -> str:
    import hashlib

    return hashlib.sha256(ids.tobytes()).hexdigest()


def _present(
    config: BuildOpenImages, subset: str, ids: np.ndarray, there: np.ndarray, left_out: Counter[str]
) -> np.ndarray:
    assert config.images is not None
    known = np.isin(ids, there, assume_unique=True)
    lost = ids[~known]
    if not len(lost):
        return ids
    sentence = (
        f"{len(lost):,} of {len(ids):,} listed images are not in {config.images / subset} "
        f"({enumerate_some([f'{i:016x}.jpg' for i in lost[:3]], len(lost))})"
    )
    if len(lost) > config.allow_missing * len(ids):
        raise NlcliError(
            f"{sentence}; complete the folder, or leave them out with --allow-missing "
            f"{min(1.0, len(lost) / len(ids) + 0.005):.2f}"
        )
    say(f"warning: {sentence}; they are left out")
    left_out["missing images"] += len(lost)
    return ids[known]


# --- labels ----------------------------------------------------------------------------------


def _blocks(path: Path, columns: list[str], *, newlines: bool = False) -> Iterator[Any]:
    """Record batches of ``columns`` of a CSV file with a header; a bar counts its bytes."""
    import pyarrow as pa
    import pyarrow.csv as pacsv

    types = {"ImageID": pa.string(), "LabelName": pa.string(), "Confidence": pa.float32()}
    size = path.stat().st_size
    try:
        with progress(max(size >> 20, 1), f"reading {path.name}", unit="MiB") as bar, pa.OSFile(str(path)) as file:
            reader = pacsv.open_csv(
                file, pacsv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=True),
                pacsv.ParseOptions(newlines_in_values=newlines),
                pacsv.ConvertOptions(
                    include_columns=columns, column_types={name: types[name] for name in columns},
                    strings_can_be_null=False, null_values=[],
                ),
            )
            done = 0
            for batch in reader:
                now = min(file.tell(), size) >> 20
                bar.advance(now - done)
                done = now
                if batch.num_rows:
                    yield batch
            bar.advance(max(size >> 20, 1) - done)
    except (pa.ArrowInvalid, KeyError) as error:
        if not newlines:
            _name_malformed_line(path)
        text = " ".join(str(error).split())[:200]
        raise NlcliError(f"{path}: not the expected CSV file ({text}); download it again") from error
    except OSError as error:
        raise NlcliError(f"cannot read {path}: {error}") from error


def _name_malformed_line(path: Path, human: bool = False) -> None:
    """Raise for the first line of a label file that is not as it should be; only called for a broken file."""
    for number, line in read_lines(path):
        if number == 1:
            if line != _HEADER:
                raise NlcliError(f"{path}, line 1: expected the header {_HEADER}, found '{shown(line)}'")
            continue
        cells = line.split(",")
        where = f"{path}, line {number}"
        if len(cells) != 4:
            raise NlcliError(f"{where}: {len(cells)} cells, expected 4 ({_HEADER})")
        if not _ID.fullmatch(cells[0]):
            raise NlcliError(f"{where}: ImageID '{shown(cells[0])}' is not 16 hexadecimal digits")
        try:
            confidence = float(cells[3])
        except ValueError:
            confidence = math.nan
        if not 0 <= confidence <= 1 or (human and confidence not in (0, 1)):
            wanted = "0.0 or 1.0" if human else "a number from 0 to 1"
            raise NlcliError(f"{where}: Confidence '{shown(cells[3])}' is not {wanted}")


class _Reader:
    """Reads label files into sparse matrices of the known images and classes."""

    def __init__(self, ids: tuple[str, ...], images: dict[str, np.ndarray], left_out: Counter[str]) -> None:
        import pyarrow as pa

        self.ids = ids
        self.images = images
        self.left_out = left_out
        self.strangers = Counter[str]()
        self.labels_read = 0
        self._values = pa.array(ids, pa.string())

    def labels(self, path: Path | None, subset: str, *, human: bool = False) -> csr_array:
        """(n, C) float32 CSR of the highest confidences; for ``human``, 1 present, 2 absent, 3 both."""
        import pyarrow as pa
        import pyarrow.compute as pc

        images = self.images[subset]
        rows: list[np.ndarray] = []
        columns: list[np.ndarray] = []
        values: list[np.ndarray] = []
        for batch in () if path is None else _blocks(path, ["ImageID", "LabelName", "Confidence"]):
            assert path is not None
            found = parse_ids(batch.column(0))
            confidence = batch.column(2).to_numpy(zero_copy_only=False)
            valid = (confidence >= 0) & (confidence <= 1)
            if human:
                valid &= (confidence == 0) | (confidence == 1)
            if found is None or not valid.all():
                _name_malformed_line(path, human)
                raise NlcliError(f"{path}: a line is malformed; download the file again")
            code = pc.index_in(batch.column(1), value_set=self._values)
            if code.null_count:
                for entry in pc.value_counts(batch.column(1).filter(pc.is_null(code))):
                    self.strangers[entry["values"].as_py()] += entry["counts"].as_py()
            self.labels_read += len(found)
            row = np.searchsorted(images, found)
            row[row == len(images)] = 0
            listed = images[row] == found
            known = np.asarray(pc.is_valid(code))
            self.left_out[f"{'human' if human else 'machine'} labels"] += int(np.sum(~(listed & known)))
            if not listed.all():
                self.left_out["of unlisted images"] += int(np.sum(~listed))
            keep = listed & known
            if human:
                confidence = np.where(confidence == 1, np.float32(1), np.float32(2))
            else:
                keep &= confidence > 0
            rows.append(row[keep].astype(np.int32))
            columns.append(np.asarray(pc.fill_null(code, pa.scalar(0, pa.int32())))[keep].astype(np.int32))
            values.append(confidence[keep])
        shape = (len(images), len(self.ids))
        entries = _joined(rows, np.int32), _joined(columns, np.int32), _joined(values, np.float32)
        return compress(*entries, shape, either=human)

    def refuse_strangers(self) -> None:
        """Say which labels name no known class; refuse when that is most of them."""
        total = sum(self.strangers.values())
        if not total:
            return
        most = [f"{name} {count:,}x" for name, count in self.strangers.most_common(3)]
        sentence = (
            f"{total:,} of {self.labels_read:,} labels name {len(self.strangers):,} classes that the class list lacks "
            f"({enumerate_some(most, len(self.strangers))})"
        )
        if 2 * total > self.labels_read:
            raise NlcliError(f"{sentence}; the class list is for other files")
        say(f"note: {sentence}; they are left out")


def _joined(parts: list[np.ndarray], dtype: Any) -> np.ndarray:
    """The parts in one array; each part is let go as soon as it is copied."""
    whole = np.empty(sum(map(len, parts)), dtype)
    position = 0
    for i, part in enumerate(parts):
        whole[position : position + len(part)] = part
        position += len(part)
        parts[i] = whole[:0]
    return whole


def compress(
    rows: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, int], *, either: bool = False
) -> csr_array:
    """CSR of entries that may repeat: the highest value of each counts, or, with ``either``, their bitwise or."""
    from scipy.sparse import csr_array

    if np.any(rows[1:] < rows[:-1]):  # files are sorted by image as a rule
        order = np.argsort(rows, kind="stable")
        rows, columns, values = rows[order], columns[order], values[order]
    counts = np.bincount(rows, minlength=shape[0])
    indptr = np.concatenate(([0], np.cumsum(counts)))
    matrix = csr_array((values, columns, indptr), shape=shape)
    matrix.sort_indices()
    first = np.ones(matrix.nnz, bool)
    first[1:] = matrix.indices[1:] != matrix.indices[:-1]
    starts = matrix.indptr[:-1]
    first[starts[starts < matrix.nnz]] = True
    if not first.all():
        where = np.flatnonzero(first)
        if either:
            data = np.bitwise_or.reduceat(matrix.data.astype(np.uint8), where).astype(np.float32)
        else:
            data = np.maximum.reduceat(matrix.data, where)
        indptr = _running(first)[matrix.indptr]
        matrix = csr_array((data, matrix.indices[where], indptr), shape=shape)
    return matrix


def _running(chosen: np.ndarray) -> np.ndarray:
    """How many of ``chosen`` stand before each position: (n + 1,) int32."""
    total = np.zeros(len(chosen) + 1, np.int32)
    np.cumsum(chosen, out=total[1:])
    return total


def stack(matrices: list[csr_array]) -> csr_array:
    """The matrices one above the other, with 32-bit indices."""
    from scipy.sparse import csr_array

    data = np.concatenate([matrix.data for matrix in matrices])
    indices = np.concatenate([matrix.indices.astype(np.int32, copy=False) for matrix in matrices])
    ends = np.cumsum([0] + [matrix.nnz for matrix in matrices])
    indptr = np.concatenate([[0], *(m.indptr[1:] + end for m, end in zip(matrices, ends, strict=False))])
    return csr_array((data, indices, indptr), shape=(sum(m.shape[0] for m in matrices), matrices[0].shape[1]))


def _split_human(marks: csr_array) -> tuple[csr_array, csr_array, int]:
    """Present, absent (uint8) of 1 present, 2 absent, 3 both; and how many are both."""
    from scipy.sparse import csr_array

    def part(mark: int) -> csr_array:
        chosen = marks.data == mark
        indptr = _running(chosen)[marks.indptr]
        return csr_array((np.ones(int(chosen.sum()), np.uint8), marks.indices[chosen], indptr), shape=marks.shape)

    return part(1), part(2), int(np.sum(marks.data == 3))


def take_columns(matrix: csr_array, keep: np.ndarray) -> csr_array:
    """The columns ``keep`` (sorted) of ``matrix``, without the copies scipy makes."""
    from scipy.sparse import csr_array

    number = np.full(matrix.shape[1], -1, np.int32)
    number[keep] = np.arange(len(keep))
    indices = number[matrix.indices]
    chosen = indices >= 0
    indptr = _running(chosen)[matrix.indptr]
    return csr_array((matrix.data[chosen], indices[chosen], indptr), shape=(matrix.shape[0], len(keep)))


def _trainable(noisy: csr_array, trained: int) -> np.ndarray:
    """Classes with enough images in both subsets."""
    border = noisy.indptr[trained]
    counts = {
        "train": np.bincount(noisy.indices[:border], minlength=noisy.shape[1]),
        "validation": np.bincount(noisy.indices[border:], minlength=noisy.shape[1]),
    }
    return np.flatnonzero(np.all([counts[subset] >= least for subset, least in TRAINABLE.items()], axis=0))


# --- classes and groups ----------------------------------------------------------------------

_CLASS_ID = re.compile(r"/[a-z]/[0-9a-z_]+")


def read_dictionary(path: Path) -> dict[str, str]:
    """Class id -> name of ``dict.csv`` (quoted, no header), in file order."""
    found: dict[str, str] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                if not cells:
                    continue
                where = f"{path}, line {reader.line_num}"
                if len(cells) != 2 or not _CLASS_ID.fullmatch(cells[0]) or not cells[1].strip():
                    raise NlcliError(f"{where}: expected an id and a name in quotes, found '{shown(','.join(cells))}'")
                if cells[0] in found:
                    raise NlcliError(f"{where}: class {cells[0]} stands in the file twice")
                found[cells[0]] = cells[1].strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NlcliError(f"cannot read {path}: {error}") from error
    if not found:
        raise NlcliError(f"{path} is empty")
    return found


def read_class_list(path: Path) -> tuple[str, ...]:
    """Class ids, one a line."""
    found: dict[str, int] = {}
    for number, line in read_lines(path):
        name = line.strip().strip('"')
        if not _CLASS_ID.fullmatch(name):
            raise NlcliError(f"{path}, line {number}: '{shown(line)}' is not a class id such as /m/06ht1")
        if name in found:
            raise NlcliError(f"{path}, line {number}: class {name} already stands in line {found[name]}")
        found[name] = number
    if not found:
        raise NlcliError(f"{path} is empty")
    return tuple(found)


def unique_names(ids: tuple[str, ...], names: dict[str, str]) -> tuple[str, ...]:
    """A name for every class: that of the dictionary, with the id where several share it (two are 'organ')."""
    plain = [names.get(i, i) for i in ids]
    shared = {name for name, count in Counter(plain).items() if count > 1}
    return tuple(f"{name} ({i})" if name in shared else name for i, name in zip(ids, plain, strict=True))


def read_groups(
    path: Path, ids: tuple[str, ...], classes: tuple[str, ...], names: dict[str, str]
) -> tuple[str | None, ...]:
    """The group of every class from a CSV table or a hierarchy; None where it has none.

    Args:
        names: Id -> name of the dictionary: the upper nodes of a hierarchy are known by name.

    Raises:
        NlcliError: a malformed file, a class in two groups, or no class that is known.
    """
    by_name = {name.lower(): i for i, name in enumerate(classes)} | {name: i for i, name in enumerate(ids)}
    found: list[str | None] = [None] * len(ids)
    if path.suffix.lower() == ".json":
        for name, group in _hierarchy_groups(read_json(path), path, names):
            place = by_name.get(name) if name.startswith("/") else by_name.get(name.lower())
            if place is not None and found[place] is None:
                found[place] = group
    else:
        for number, name, group in _group_rows(path):
            place = by_name.get(name, by_name.get(name.lower()))
            if place is None:
                continue
            if found[place] not in (None, group):
                raise NlcliError(
                    f"{path}, line {number}: class '{shown(name)}' is in '{found[place]}' and '{shown(group)}'"
                )
            found[place] = group
    known = sum(group is not None for group in found)
    if not known:
        raise NlcliError(f"{path} names none of the {len(ids):,} classes")
    say(f"{known:,} of {len(ids):,} classes have a group")
    return tuple(found)


def _group_rows(path: Path) -> Iterator[tuple[int, str, str]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                if not cells or (reader.line_num == 1 and cells[-1].strip().lower() == "group"):
                    continue
                if len(cells) != 2 or not all(cell.strip() for cell in cells):
                    raise NlcliError(
                        f"{path}, line {reader.line_num}: expected a class and a group, found {len(cells)} cells"
                    )
                yield reader.line_num, cells[0].strip(), cells[1].strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NlcliError(f"cannot read {path}: {error}") from error


def _hierarchy_groups(tree: Any, path: Path, names: dict[str, str]) -> list[tuple[str, str]]:
    """(class, group) of every node below or at a node with a group, nearest ancestor first.

    Nodes have ``LabelName``, ``Subcategory`` and ``Part`` (ids), or ``name`` and ``children``.
    """
    table = Path(str(resources.files("nlcli") / "resources" / "open_images_groups.csv"))
    upper = {name.lower(): group for _, name, group in _group_rows(table)}
    found: list[tuple[int, str, str]] = []
    pending: list[tuple[Any, str | None, int]] = [(tree, None, 0)]
    while pending:
        node, group, distance = pending.pop()
        name = node.get("LabelName", node.get("name")) if isinstance(node, dict) else None
        if not isinstance(name, str):
            raise NlcliError(
                f"{path}: not a class hierarchy; expected nodes with LabelName and Subcategory, or name and children"
            )
        own = upper.get(names.get(name, name).lower())
        group, distance = (own, 0) if own is not None else (group, distance + 1)
        if group is not None:
            found.append((distance, name, group))
        for field in ("Subcategory", "Part", "children"):
            below = node.get(field, [])
            if not isinstance(below, list):
                raise NlcliError(f"{path}: '{field}' of '{shown(name)}' is not a list")
            pending += [(child, group, distance) for child in reversed(below)]
    return [(name, group) for _, name, group in sorted(found, key=lambda entry: entry[0])]
