"""Files made to harm: nothing in them is executed, written outside, or allowed to take the machine's memory.

Expected every time: a sentence and exit code 1 (or, for a picture in a folder, a row with an error), within the
limits of memory and time, and the marker that the file would have written is not there.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from torture._command import Ended, forked
from torture._pictures import scans_jpeg, tile_tiff
from torture._report import Count
from torture._world import write_photographs
from torture.events import preload

MEMORY = 3 << 30
SECONDS = 60
PICTURE_SECONDS = 3
MARKER = "executed"


class _Evil:
    """Unpickled, it writes the marker."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return exec, (f"open({self.marker!r}, 'w').close()",)


def _limits() -> None:
    from nlcli.networks import decoders

    decoders.SECONDS = PICTURE_SECONDS
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


@contextmanager
def _place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as root:
        work = Path(root) / "work"
        work.mkdir()
        yield work


def _attack(count: Count, work: Path, what: str, arguments: list[str], code: int | None = 1) -> Ended:
    ended = forked(arguments, work, _limits, SECONDS)
    count.times += 1
    last = ended.errors.strip().rsplit("\n", 1)[-1]
    count.expect(not (work.parent / MARKER).exists(), f"{what}: its code was executed")
    (work.parent / MARKER).unlink(missing_ok=True)
    count.expect(ended.code != -9, f"{what}: more than {SECONDS} s, or killed")
    count.expect(not ended.is_traceback, f"{what}: a traceback: {last[-200:]}")
    if code is not None:
        count.expect(ended.code == code, f"{what}: ended with {ended.code}, expected {code}: {last[-200:]}")
    if code == 1:
        count.expect(last.startswith("nlcli: ") and len(last) < 1100, f"{what}: no sentence: {last[:200]}")
    for stream in (ended.errors, ended.output):
        count.expect(
            "\x1b" not in stream and "\u202e" not in stream, f"{what}: an escape sequence reached the terminal"
        )
    return ended


# --- text and tables -------------------------------------------------------------------------


def _laughs() -> str:
    lines = ['a: &a ["lol","lol","lol","lol","lol","lol","lol","lol","lol"]']
    for one, other in zip("bcdefghij", "abcdefghi", strict=True):
        lines.append(f"{one}: &{one} [{','.join([f'*{other}'] * 9)}]")
    return "\n".join(lines) + "\nstages: *j\n"


def _yaml(quick: bool) -> Count:
    count = Count("hostile", "pipelines in YAML")
    documents = {
        "aliases by the billion": _laughs(),
        "a Python object": f"stages: !!python/object/apply:os.system ['touch {MARKER}']\n",
        "a date that does not exist": "name: 2024-02-31\nstages: []\n",
        "an alias of itself": "stages: &s [*s]\n",
        "an unknown tag": "stages: !thing []\n",
        "keys that are lists": "? [a, b]\n: 1\nstages: []\n",
        "a number of 10,000 digits": f"name: {'9' * 10_000}\nstages: []\n",
        "deep nesting": "stages: " + "[" * 20_000 + "]" * 20_000,
        "NUL": "name: a\0b\nstages: []\n",
        "a grid of 10^8": "name: g\nworkdir: w\nstages:\n  - name: s\n    run: build-digits\n    each: {a: ["
        + ", ".join(map(str, range(10_000)))
        + "], b: ["
        + ", ".join(map(str, range(10_000)))
        + "]}\n    with: {}\n",
        "not UTF-8": b"name: \xff\xfe\xfa\nstages: []\n",
    }
    with _place() as work:
        for what, text in documents.items():
            path = work / "p.yaml"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            _attack(count, work, what, ["run", "p.yaml", "--dry-run"])
            if quick and count.times > 5:
                break
    return count


def _json(quick: bool) -> Count:
    count = Count("hostile", "records in JSON: stage.json, dataset.json, COCO annotations")
    texts = {
        "a number of 10,000 digits": '{"a": ' + "9" * 10_000 + "}",
        "deep nesting": "[" * 200_000,
        "a list": "[1, 2]",
        "NaN": '{"complete": NaN}',
        "half a file": '{"stage": "dataset", "sche',
        "lone surrogates": '{"stage": "\\ud800", "complete": true}',
        "not UTF-8": b'{"stage": "\xff"}',
        "empty": "",
    }
    with _place() as work:
        write_photographs(work / "photographs")
        forked(["build-folders", "--images", "photographs", "--output", "data"], work)
        for name in ("stage.json", "dataset.json"):
            original = (work / "data" / name).read_bytes()
            record = json.loads(original)
            wrong = {
                f"'{key}' is {value!r}": json.dumps(record | {key: value})
                for key in record
                for value in (None, [], "x", {"a": 1}, -1)
            }
            for what, text in list((texts | wrong).items())[:: 9 if quick else 1]:
                (work / "data" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
                for arguments in (
                    ["info", "data"],
                    ["add-noise", "--dataset", "data", "--rate", "0.2", "--output", "noisy"],
                ):
                    # A field that nobody needs may have any value; what counts is that there is no traceback.
                    _attack(count, work, f"{name}: {what}: {arguments[0]}", arguments, None)
                    shutil.rmtree(work / "noisy", ignore_errors=True)
            (work / "data" / name).write_bytes(original)
        (work / "train").mkdir()
        shutil.copy(work / "photographs" / "class 0" / "000.png", work / "train" / "a.png")
        image, thing = {"id": 1, "file_name": "a.png"}, {"id": 1, "image_id": 1, "category_id": 1}
        documents = {
            **texts,
            "a path that leads out": json.dumps(
                {
                    "images": [image | {"file_name": "../a.png"}],
                    "annotations": [thing],
                    "categories": [{"id": 1, "name": "c"}],
                }
            ),
            "a category that is a list": json.dumps(
                {
                    "images": [image],
                    "annotations": [thing | {"category_id": [1]}],
                    "categories": [{"id": 1, "name": "c"}],
                }
            ),
            "a name with an escape sequence": json.dumps(
                {
                    "images": [image | {"file_name": "\x1b[31mx\x1b[0m.png"}],
                    "annotations": [thing],
                    "categories": [{"id": 1, "name": "\x1b]0;x\x07"}],
                }
            ),
        }
        for what, text in list(documents.items())[:: 4 if quick else 1]:
            (work / "coco.json").write_bytes(text if isinstance(text, bytes) else text.encode())
            arguments = [
                "build-coco",
                "--train-images",
                "train",
                "--train-annotations",
                "coco.json",
                "--val-images",
                "train",
            ]
            _attack(count, work, f"COCO: {what}", [*arguments, "--val-annotations", "coco.json", "--output", "coco"])
    return count


def _tables(quick: bool) -> Count:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = Count("hostile", "tables in CSV and Parquet")
    with _place() as work:
        write_photographs(work / "photographs")
        good = "class 0/000.png"

        def build(what: str, name: str, code: int | None = 1) -> None:
            _attack(
                count,
                work,
                what,
                ["build-folders", "--images", "photographs", "--table", name, "--output", "out"],
                code,
            )
            shutil.rmtree(work / "out", ignore_errors=True)

        for what, path in {
            "a path that leads out": "../secret.png",
            "an absolute path": "/etc/passwd",
            "a path with an escape sequence": "\x1b[31mred.png",
            "a path with NUL": "a\0b.png",
            "a path of 1 MB": "a" * 1_000_000,
        }.items():
            (work / "t.csv").write_text(f"path,noisy_label\n{good},a\n{path},b\n")
            build(what, "t.csv")
        (work / "t.csv").write_text("path,noisy_label\n" + "x" * 50_000_000)
        build("a cell of 50 MB", "t.csv")
        columns = {
            "lists with nulls": pa.array([[None], ["a"]], pa.list_(pa.string())),
            "bytes that are no text": pa.array([b"\xff\xfe", b"a"], pa.binary()),
            "structures": pa.array([{"a": 1}, {"a": 2}]),
            "timestamps": pa.array([0, 1], pa.timestamp("s")),
        }
        for what, column in columns.items():
            pq.write_table(pa.table({"path": [good, "class 1/000.png"], "noisy_label": column}), work / "t.parquet")
            build(what, "t.parquet")
        bomb = pa.DictionaryArray.from_arrays(pa.array(np.zeros(3_000_000, np.int32)), pa.array(["a" * 3_000]))
        pq.write_table(pa.table({"path": bomb, "noisy_label": bomb}), work / "t.parquet", compression="zstd")
        build("a Parquet file that unpacks to 18 GB", "t.parquet")
        (work / "t.parquet").write_bytes((work / "t.parquet").read_bytes()[:1000])
        build("half a Parquet file", "t.parquet")
        for what, name in {
            "a formula": "=cmd|' /C calc'!A0",
            "an escape sequence": "\x1b[31mred",
            "markup": "[bold]x[/bold]<script>",
            "bidirectional marks": "a\u202etxt",
            "a line feed": "a\nb",
        }.items():
            rows = "".join(f'"class {c}/{i:03d}.png","{(name, "b", "c")[c]}"\n' for c in range(3) for i in range(6))
            (work / "t.csv").write_text("path,noisy_label\n" + rows)
            _attack(
                count,
                work,
                f"a class named as {what}",
                ["build-folders", "--images", "photographs", "--table", "t.csv", "--output", "out"],
                None,
            )
            for path in sorted((work / "out").glob("*.csv")):
                starts = [
                    cell
                    for line in path.read_text().splitlines()
                    for cell in line.split(",")
                    if cell.startswith(("=", '"='))
                ]
                count.expect(not starts, f"{path.name} has a formula: {starts[:1]}")
            _attack(count, work, f"info of {what}", ["info", "out"], None)
            shutil.rmtree(work / "out", ignore_errors=True)
            if quick:
                break
    return count


# --- pictures --------------------------------------------------------------------------------


def _png(width: int, height: int) -> bytes:
    """A black PNG of any size: its pixels compress to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, packed = zlib.compressobj(9), b""
    row = bytes(1 + 3 * width)
    for _ in range(height):
        packed += packer.compress(row)
    packed += packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def _pictures(quick: bool) -> Count:
    count = Count("hostile", "pictures: bombs, half files, other formats under their names")
    with _place() as work:
        folder = write_photographs(work / "photographs") / "class 0"
        files: dict[str, bytes] = {
            "a.png": _png(13_000, 13_000) if not quick else _png(6_000, 6_000),
            "b.png": _png(100_000, 4_000)[:2000],
            "c.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
            "d.tif": b"II*\0" + b"\xff" * 200,
            "e.gif": b"GIF89a" + b"\xff" * 50,
            "f.png": b"",
            "g.webp": b"RIFF\xff\xff\xff\xffWEBPVP8 " + os.urandom(100),
            "h.jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + b"\xff" * 300,
            "k.jpg": scans_jpeg(2000, 3000),
            "l.tif": tile_tiff(100_000),
        }
        for name, data in files.items():
            (folder / name).write_bytes(data)
        (folder / "i.png").symlink_to("/dev/zero")
        os.mkfifo(folder / "j.png")
        _attack(count, work, "build-folders", ["build-folders", "--images", "photographs", "--output", "data"], 0)
        ended = _attack(
            count, work, "deduplicate", ["deduplicate", "--dataset", "data", "--output", "unique", "--workers", "2"], 0
        )
        count.times += len(files) + 1
        count.expect(
            (work / "unique" / "stage.json").exists() or ended.code == 1,
            "deduplicate made nothing of the other pictures",
        )
    return count


# --- arrays and networks ---------------------------------------------------------------------


def _npz(arrays: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in arrays.items():
            archive.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def _npy(shape: str, kind: str, data: bytes) -> bytes:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (64 - (10 + len(header) + 1) % 64) + "\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode() + data


def _features(quick: bool) -> Count:
    import h5py

    count = Count("hostile", "features: links and filters in HDF5, pickles in npz")
    with _place() as work:
        write_photographs(work / "photographs")
        forked(["build-folders", "--images", "photographs", "--output", "data"], work)
        made = forked(
            [
                "extract-features",
                "--dataset",
                "data",
                "--backbone",
                "small_cnn",
                "--weights",
                "none",
                "--output",
                "features",
            ],
            work,
        )
        if made.code:
            count.failures.append(f"features cannot be made: {made.errors[-300:]}")
            return count
        shard = next((work / "features").rglob("*.h5"))
        original = shard.read_bytes()
        with h5py.File(shard) as file:
            name = next(iter(file))
            values = file[name][:]
        secret = work / "secret.h5"
        with h5py.File(secret, "w") as file:
            file[name] = values + 1

        def external(file: h5py.File) -> None:
            file[name] = h5py.ExternalLink(str(secret), name)

        def soft(file: h5py.File) -> None:
            file["other"] = values
            file[name] = h5py.SoftLink("/other")

        def raw(file: h5py.File) -> None:
            file.create_dataset(name, values.shape, values.dtype, external=[(str(secret), 0, values.nbytes)])

        def bomb(file: h5py.File) -> None:
            file.create_dataset(
                name, (10_000_000, values.shape[1]), values.dtype, chunks=(1000, values.shape[1]), compression="gzip"
            )

        def packed(file: h5py.File) -> None:
            file.create_dataset(name, data=values, chunks=True, compression="gzip")

        writers: dict[str, Callable[[h5py.File], None]] = {
            "an external link": external,
            "a soft link": soft,
            "external storage": raw,
            "a bomb": bomb,
            "a filter": packed,
        }
        for what, write in writers.items():
            shard.unlink()
            with h5py.File(shard, "w") as file:
                write(file)
            _attack(
                count, work, what, ["deduplicate", "--dataset", "data", "--features", "features", "--output", "unique"]
            )
            shutil.rmtree(work / "unique", ignore_errors=True)
        shard.write_bytes(original)
        last = work / "features" / "last_layer.npz"
        evil = pickle.dumps(_Evil(work.parent / MARKER))
        for what, arrays in {
            "a pickle": {"kernel": _npy("(1,)", "|O", evil), "bias": _npy("(1,)", "|O", evil)},
            "an absurd shape": {
                "kernel": _npy("(1000000000, 1000000000)", "<f4", b""),
                "bias": _npy("(3,)", "<f4", bytes(12)),
            },
        }.items():
            last.write_bytes(_npz(arrays))
            detect = [
                "detect-noise",
                "--method",
                "classification-filter",
                "--dataset",
                "data",
                "--features",
                "features",
                "--output",
                "detection",
            ]
            _attack(count, work, f"last_layer.npz: {what}", detect, None)
            if quick:
                break
    return count


def _networks(quick: bool) -> Count:
    """In a process of their own: they need TensorFlow, which must not be loaded before a fork."""
    count = Count("hostile", "networks: Lambda layers, classes of others, absurd sizes in .keras files")
    layer = {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": {"batch_shape": [None, 8, 8, 3], "dtype": "float32", "name": "i"},
        "registered_name": None,
    }
    inbound = [
        {
            "args": [
                {
                    "class_name": "__keras_tensor__",
                    "config": {"shape": [None, 8, 8, 3], "dtype": "float32", "keras_history": ["i", 0, 0]},
                }
            ],
            "kwargs": {},
        }
    ]
    with _place() as work:
        write_photographs(work / "photographs")
        (work / "names.txt").write_text("a\nb\n")
        code = f"open({str(work.parent / MARKER)!r}, 'w').close()"
        others = {
            "a Lambda layer": {
                "module": "keras.layers",
                "class_name": "Lambda",
                "config": {
                    "name": "l",
                    "function": {
                        "class_name": "__lambda__",
                        "config": {"code": "4wEAAAA=", "defaults": None, "closure": None},
                    },
                },
                "registered_name": None,
            },
            "a class of the standard library": {
                "module": "subprocess",
                "class_name": "Popen",
                "config": {"args": ["touch", str(work.parent / MARKER)]},
                "registered_name": None,
            },
            "a function of builtins": {
                "module": "builtins",
                "class_name": "exec",
                "config": {"source": code},
                "registered_name": None,
            },
            "a layer of 2e9 units": {
                "module": "keras.layers",
                "class_name": "Dense",
                "config": {"name": "l", "units": 2_000_000_000},
                "registered_name": None,
            },
        }
        for what, other in list(others.items())[: 1 if quick else None]:
            description = {
                "module": "keras.src.models.functional",
                "class_name": "Functional",
                "registered_name": "Functional",
                "config": {
                    "name": "m",
                    "trainable": True,
                    "layers": [
                        layer | {"name": "i", "inbound_nodes": []},
                        other | {"name": "l", "inbound_nodes": inbound},
                    ],
                    "input_layers": [["i", 0, 0]],
                    "output_layers": [["l", 0, 0]],
                },
            }
            with zipfile.ZipFile(work / "m.keras", "w") as archive:
                archive.writestr(
                    "metadata.json", json.dumps({"keras_version": "3.12.0", "date_saved": "2026-01-01@00:00:00"})
                )
                archive.writestr("config.json", json.dumps(description))
                archive.writestr("model.weights.h5", b"")
            arguments = [
                "annotate",
                "--images",
                "photographs",
                "--classifier",
                "m.keras",
                "--classifier-classes",
                "names.txt",
                "--output",
                "out",
            ]
            ended = forked(arguments, work, None, 120)
            count.times += 1
            count.expect(not (work.parent / MARKER).exists(), f"{what}: its code was executed")
            count.expect(
                ended.code == 1 and not ended.is_traceback,
                f"{what}: ended with {ended.code}: {ended.errors.strip()[-200:]}",
            )
    return count


def run(quick: bool, seed: int) -> list[Count]:
    """All of them; ``quick``: a few of each kind."""
    del seed
    preload()
    kinds = (_yaml, _json, _tables, _pictures) if quick else (_yaml, _json, _tables, _pictures, _features, _networks)
    return [kind(quick) for kind in kinds]
