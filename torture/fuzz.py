"""Every reader, fed with damaged and invented files: a result or a sentence, within limits of time and memory.

Inputs are changed in their structure (a JSON value of another type, a column of another kind, a line twice) and in
their bytes. Each runs under an alarm and a limit of memory, in children that die without harm.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from torture._command import forked_in_turn
from torture._report import Count
from torture._world import write_photographs
from torture.events import preload

INPUTS = 20_000
QUICK_INPUTS = 8
MEMORY = 3 << 30
SECONDS = 20
_CHUNK = 1000


@dataclass(frozen=True)
class Reader:
    """A function that reads a file from outside.

    Attributes:
        name: What it reads.
        function: ``module:name``, imported in the children.
        sample: A good file's content.
        form: How its structure is changed: ``json``, ``lines``, ``parquet``, or ``bytes`` alone.
        call: Calls the function with the file's path.
        place: The file's name; in a directory, which copies stand beside it.
        beside: A directory whose other files are linked beside it.
    """

    name: str
    function: str
    sample: bytes
    form: str
    call: Callable[[Any, Path], object] = lambda function, path: function(path)
    place: str = "file"
    beside: Path | None = None


# --- changes ---------------------------------------------------------------------------------

_ODD: tuple[object, ...] = (
    None, True, -1, 0, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", " ", "\0",
    "\x1b[31m", "../../x", "/etc/passwd",
    "a" * 70_000, "\ud800", "=1+1", [], [[]], {}, {"a": {}}, [None], "nan", "1.0", "0x10", "1e400",
)  # fmt: skip


def _json(value: Any, draw: random.Random) -> Any:
    """``value`` with one part changed, left out, doubled or of another type."""
    paths: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for key, inner in list(items)[:200]:
            paths.append((part, key))
            walk(inner)

    walk(value)
    if not paths:
        return draw.choice(_ODD)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        part, key = draw.choice(paths)
        with contextlib.suppress(KeyError, IndexError):
            match draw.randrange(4):
                case 0:
                    del part[key]
                case 1 if isinstance(part, list):
                    part.append(part[key])
                case 2 if isinstance(part, dict):
                    part[draw.choice(("extra", "", "\x1b[0m", "version"))] = part[key]
                case _:
                    part[key] = draw.choice(_ODD)
    return value


def _bytes(data: bytes, draw: random.Random) -> bytes:
    if not data:
        return draw.randbytes(draw.randrange(64))
    changed = bytearray(data)
    match draw.randrange(5):
        case 0:
            return data[: draw.randrange(len(data))]
        case 1:
            start = draw.randrange(len(data))
            return data[:start] + draw.randbytes(draw.randrange(1, 64)) + data[start:]
        case 2:
            start = draw.randrange(len(data))
            return data[:start] + data[start : start + 300] * draw.randrange(2, 40) + data[start:]
        case 3:
            start = draw.randrange(len(data))
            return data[:start] + data[start + draw.randrange(1, 200) :]
        case _:
            for _ in range(draw.choice((1, 2, 8, 64))):
                changed[draw.randrange(len(changed))] = draw.randrange(256)
            return bytes(changed)


def _lines(data: bytes, draw: random.Random) -> bytes:
    lines = data.decode(errors="replace").splitlines()
    if not lines:
        return _bytes(data, draw)
    for _ in range(draw.choice((1, 1, 2, 6))):
        number = draw.randrange(len(lines))
        separator = draw.choice((",", "\t", " ", ": ", "|"))
        cells = lines[number].split(separator)
        match draw.randrange(6):
            case 0:
                lines.insert(number, lines[draw.randrange(len(lines))])
            case 1:
                lines.pop(number)
                lines = lines or [""]
            case 2:
                lines[number] += separator + str(draw.choice(_ODD))
            case _:
                cells[draw.randrange(len(cells))] = str(draw.choice(_ODD))
                lines[number] = separator.join(cells)
    encoding = draw.choice(("utf-8",) * 8 + ("utf-16", "latin-1", "utf-8-sig"))
    return draw.choice(("\n",) * 5 + ("\r\n", "\r", "\n\n")).join(lines).encode(encoding, errors="replace")


@functools.cache
def _table(data: bytes) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(io.BytesIO(data))


def _parquet(data: bytes, draw: random.Random) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = _table(data)
    name = draw.choice(table.column_names)
    position, rows = table.column_names.index(name), len(table)
    columns: tuple[Callable[[], Any], ...] = (
        lambda: pa.nulls(rows),
        lambda: pa.array(range(rows)),
        lambda: pa.array([float(i) for i in range(rows)]),
        lambda: pa.array([float("nan")] * rows),
        lambda: pa.array(["\x1b[31m"] * rows),
        lambda: pa.array([draw.choice(("", "../x", "a\0b", "x" * 100_000))] * rows),
        lambda: pa.array([b"\xff\xfe"] * rows),
        lambda: pa.array([[None, 10**9, -5]] * rows, pa.list_(pa.int32())),
        lambda: pa.array([[draw.choice((0.5, float("nan"), -1e30))] * 3] * rows, pa.list_(pa.float32())),
        lambda: pa.array([{"a": 1}] * rows),
        lambda: pa.array([None if i % 2 else "a" for i in range(rows)]),
        lambda: table.column(name).cast(pa.large_string()),
        lambda: table.column(name).take(pa.array([draw.randrange(rows) for _ in range(rows)])),
    )
    with contextlib.suppress(pa.ArrowException):
        match draw.randrange(5):
            case 0:
                table = table.drop_columns([name])
            case 1:
                table = table.slice(draw.randrange(max(rows, 1)))
            case 2:
                table = pa.concat_tables([table, table.slice(draw.randrange(max(rows, 1)))])
            case _:
                table = table.set_column(position, name, draw.choice(columns)())
    target = io.BytesIO()
    pq.write_table(table, target)
    return target.getvalue()


def changed(reader: Reader, draw: random.Random) -> bytes:
    """A file that is not quite the reader's sample."""
    if reader.form == "bytes" or draw.random() < 0.3:
        return _bytes(reader.sample, draw)
    if reader.form == "json":
        text = json.dumps(_json(json.loads(reader.sample), draw))
        # What json.dumps writes no more: repeated keys, absurd depth and length.
        oddity = draw.random()
        if oddity < 0.03:
            text = text.replace("{", '{"a": ' + "[" * 100_000, 1)
        elif oddity < 0.06:
            text = text.replace(": ", ": " + "9" * 5000, 1)
        elif oddity < 0.09:
            text = text.replace("{", "{" + text[1:-1] + ", ", 1) if len(text) > 4 else text
        return text.encode(errors="surrogatepass")
    return _parquet(reader.sample, draw) if reader.form == "parquet" else _lines(reader.sample, draw)


# --- running ---------------------------------------------------------------------------------


def _try(reader: Reader, folder: Path, seeds: range) -> Iterator[str]:
    """The outcome of each input: ``fine``, ``sentence`` or what went wrong."""
    from nlcli.errors import NlcliError

    function = _function(reader)
    path = folder / reader.place
    for seed in seeds:
        path.unlink(missing_ok=True)
        path.write_bytes(changed(reader, random.Random(seed)))
        signal.alarm(SECONDS)
        try:
            result = reader.call(function, path)
            if hasattr(result, "__next__"):
                for _ in zip(result, range(100_000), strict=False):
                    pass
            yield "fine"
        except NlcliError as error:
            told = str(error)
            odd = "\n" in told or "\x1b" in told or len(told) > 1100
            yield f"no plain sentence: {told[:120]!r}" if odd else "sentence"
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            yield f"{type(error).__name__}: {str(error)[:80]} ({Path(where.filename).name}:{where.lineno})"
        finally:
            signal.alarm(0)


def _without_threads() -> None:
    """Let Arrow read where it is asked: on a busy machine waking its threads takes longer than a small table."""
    import pyarrow.parquet as pq

    for of, names in ((pq.ParquetFile, ("read", "iter_batches")), (pq, ("read_table",))):
        for name in names:
            setattr(of, name, _in_this_thread(getattr(of, name)))


def _in_this_thread(read: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments, **options: read(*arguments, **options | {"use_threads": False})


def _function(reader: Reader) -> Any:
    module, _, name = reader.function.partition(":")
    function = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    return function


def _chunk(reader: Reader, seeds: range) -> list[str]:
    """Outcomes of ``seeds`` in a child with limits; what kills the child is found by halving."""
    with tempfile.TemporaryDirectory() as root:
        folder, results = Path(root) / "d", Path(root) / "results"
        folder.mkdir()
        for path in reader.beside.iterdir() if reader.beside is not None else ():
            if path.name != reader.place:
                (folder / path.name).symlink_to(path)
        child = os.fork()
        if child == 0:
            try:
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
                _without_threads()
                os.dup2(os.open("/dev/null", os.O_WRONLY), 2)
                os.dup2(2, 1)
                with open(results, "w", encoding="utf-8", errors="replace") as file:
                    for outcome in _try(reader, folder, seeds):
                        file.write(json.dumps(outcome) + "\n")
                        file.flush()
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        outcomes = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    if len(outcomes) < len(seeds):
        code = os.waitstatus_to_exitcode(status)
        name = signal.Signals(-code).name if code < 0 else f"exit {code}"
        outcomes.append(f"the process ended: {name}")
        outcomes += _chunk(reader, range(seeds.start + len(outcomes), seeds.stop)) if len(outcomes) < len(seeds) else []
    return outcomes


def _fuzz(reader: Reader, inputs: int, seed: int) -> Count:
    count = Count("fuzz", f"{reader.name} ({reader.form})")
    _function(reader)  # once here, not in every child
    wrong: Counter[str] = Counter()
    examples: dict[str, int] = {}
    first = seed * 10**9
    for start in range(first, first + inputs, _CHUNK):
        seeds = range(start, min(start + _CHUNK, first + inputs))
        for number, outcome in zip(seeds, _chunk(reader, seeds), strict=True):
            count.times += 1
            if outcome not in ("fine", "sentence"):
                wrong[outcome] += 1
                examples.setdefault(outcome, number)
    print(f"{time.strftime('%H:%M:%S')} {reader.name}: {count.times:,} inputs, {wrong.total()} wrong", file=sys.stderr)
    count.failures += [
        f"{times} times, first with seed {examples[what]}: {what}" for what, times in wrong.most_common()
    ]
    return count


# --- the readers -----------------------------------------------------------------------------

_COCO = {
    "images": [{"id": i, "file_name": f"{i}.jpg", "width": 20, "height": 20} for i in range(6)],
    "annotations": [{"id": i, "image_id": i % 6, "category_id": 1 + i % 3, "bbox": [0, 0, 5, 5]} for i in range(12)],
    "categories": [{"id": 1 + i, "name": f"thing {i}", "supercategory": "s"} for i in range(3)],
}


def _world(root: Path) -> dict[str, Path]:
    """Directories of stages made of embedded data, without a network."""
    write_photographs(root / "photographs", images=8)
    commands = {
        "data": [
            "build-folders",
            "--images",
            "photographs",
            *(f"--verified={s}" for s in ("train", "validation", "test")),
        ],
        "noisy": ["add-noise", "--dataset", "data", "--rate", "0.3", "--verified", "0.5"],
        "features": ["extract-features", "--dataset", "noisy", "--backbone", "small_cnn", "--weights", "none"],
        "detection": [
            "detect-noise",
            "--method",
            "knn",
            "--dataset",
            "noisy",
            "--features",
            "features",
            "--set",
            "neighbours=1",
        ],
        "teacher": [
            "train-head",
            "--method",
            "teacher-student",
            "--dataset",
            "noisy",
            "--features",
            "features",
            "--steps",
            "20",
        ],
        "cleaned": [
            "clean-labels",
            "--dataset",
            "noisy",
            "--from",
            "teacher",
            "--precision",
            "0",
            "--max-changes",
            "1",
        ],
        "run": ["train-head", "--method", "noisy", "--dataset", "noisy", "--features", "features", "--steps", "20"],
        "scored": ["eval", "run", "--bootstrap", "20", "--examples", "0"],
    }
    ended = forked_in_turn([[*arguments, "--output", name] for name, arguments in commands.items()], root, seconds=600)
    if ended.code:
        raise RuntimeError(f"what the readers read cannot be made: {ended.errors[-400:]}")
    return {name: root / name for name in commands}


def readers(made: dict[str, Path]) -> list[Reader]:
    """Every reader of files that may come from outside, with a good file of each."""
    texts = {
        "lists of classes": ("nlcli.data.lists:read_names", b"cat\ndog\nbird\n"),
        "lists of images": ("nlcli.data.lists:read_keys", b"a/1.jpg\na/2.jpg\nb/3.jpg\n"),
        "class maps": (
            "nlcli.data.class_map:read_class_map",
            b"source_index,source_id,source_name,target_name\n0,n1,a,cat\n1,n2,b,\n",
        ),
        "pipelines": (
            "nlcli.stages.pipeline:read_pipeline",
            b"name: p\nworkdir: w\nstages:\n  - name: s\n    run: build-digits\n    each: {seed: [0, 1]}\n"
            b"    with: {train_images: 50}\n",
        ),
    }
    all_readers = [
        Reader(name, function, sample, "lines", place="file.csv") for name, (function, sample) in texts.items()
    ]
    table = (
        b"path,noisy_label,clean_label,verification,split\n"
        b"a.jpg,cat,dog,0,train\nb.jpg,dog,,1,test\nc.jpg,cat,cat,,validation\n"
    )
    all_readers += [
        Reader(
            "lists with classes",
            "nlcli.data.lists:read_labelled",
            b"a/1.jpg 0\na/2 b.jpg 1\n",
            "lines",
            lambda f, p: f(p, 3),
        ),
        Reader("tables in CSV", "nlcli.data.sources.image_table:read_image_table", table, "lines", place="t.csv"),
        Reader(
            "tables in Parquet",
            "nlcli.data.sources.image_table:read_image_table",
            _as_parquet(table),
            "parquet",
            place="t.parquet",
        ),
        Reader(
            "COCO annotations",
            "nlcli.data.sources.coco_annotations:read_instances",
            json.dumps(_COCO).encode(),
            "json",
            place="i.json",
        ),
    ]
    all_readers += _readers_of_tags()
    for what, directory, place, function in (
        ("stage records", "data", "stage.json", "nlcli.stages.stage:read_stage"),
        ("data sets", "data", "dataset.json", "nlcli.data.label_files:read_dataset"),
        ("label tables", "noisy", "images.parquet", "nlcli.data.label_files:read_dataset"),
        ("feature records", "features", "features.json", "nlcli.data.features.store:FeatureStore"),
        ("feature indices", "features", "index.parquet", "nlcli.data.features.store:FeatureStore"),
        ("detections", "detection", "detection.json", "nlcli.data.detection_files:read_detection"),
        ("detected labels", "detection", "noise.parquet", "nlcli.data.detection_files:read_detection"),
        ("changes of labels", "cleaned", "changes.parquet", "nlcli.cleaning.restore_labels:labels_before"),
        ("records of cleaning", "cleaned", "cleaning.json", "nlcli.cleaning.restore_labels:labels_before"),
        ("scores", "scored", "scores.parquet", "nlcli.evaluation.score_files:read_scores"),
        ("metrics", "scored", "metrics.json", "nlcli.stages.lineage:describe_path"),
        ("learning curves", "run", "metrics.jsonl", "nlcli.evaluation.comparison.learning_curves:read_learning_curve"),
    ):
        path = made[directory] / place
        form = {"json": "json", "parquet": "parquet"}.get(path.suffix[1:], "lines")
        call: Callable[[Any, Path], object] = lambda f, p: f(p.parent)  # noqa: E731
        if place == "scores.parquet":
            call = lambda f, p: f(p)  # noqa: E731
        elif directory == "cleaned":
            call = _beside_kept_labels
        all_readers.append(Reader(what, function, path.read_bytes(), form, call, place, made[directory]))
    picture = next(made["data"].parent.glob("photographs/*/*.png")).read_bytes()
    for kind, sample in {"PNG": picture, **_pictures(picture)}.items():
        all_readers.append(Reader(f"pictures in {kind}", "nlcli.networks.images:load_image", sample, "bytes", _load))
    return all_readers


def _beside_kept_labels(function: Any, path: Path) -> object:
    """What a directory's files beside the labels say; the labels, which nothing changes, are read once in a process."""
    from nlcli.cleaning import restore_labels

    if not hasattr(restore_labels.read_dataset, "cache_info"):
        restore_labels.read_dataset = functools.cache(restore_labels.read_dataset)
    return function(path.parent)


def _readers_of_tags() -> list[Reader]:
    """Readers of images with several tags, of what people checked, and of vectors."""
    wide = (
        b"path,noisy,confidence,present,absent,verified,split,group\n"
        b"a.jpg,cat|dog,0.5|1,cat,dog,listed,train,g\nb/c.jpg,do\\|g,1,,,full,test,g\nd.jpg,,,,,no,val,\n"
    )
    long = (
        b"path,label,source,confidence\na.jpg,cat,machine,0.5\na.jpg,dog,human,1\nb.jpg,cat,verification,0\nb.jpg,,,\n"
    )
    checked = b"path,label,right\na.jpg,cat,1\nb.jpg,dog,0\nc.jpg,,\n"
    lines = (
        b'{"path": "a.jpg", "noisy": ["cat", "dog"], "verified": 1}\n{"path": "b.jpg", "noisy": [], "split": null}\n'
    )
    coco = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "verified": "full", "split": "train"} for i in range(6)],
        "annotations": [
            {"image_id": i % 6, "category_id": i % 3, "score": 1, "source": ("human", "machine")[i % 2]}
            for i in range(9)
        ],
        "categories": [{"id": i, "name": f"thing {i}"} for i in range(3)],
    }
    choice = {"type": "choices", "from_name": "tags", "value": {"choices": ["cat", "dog"]}, "score": 0.5}
    tasks = [
        {
            "data": {"image": f"{i}.jpg", "group": "g"},
            "annotations": [{"result": [choice], "was_cancelled": False}],
            "predictions": [{"result": [choice], "score": 0.5}],
        }
        for i in range(3)
    ]
    cvat = (
        b"<annotations>\n<meta><job><labels><label><name>cat</name></label></labels></job></meta>\n"
        b'<image name="a.jpg" subset="train" verified="full">\n<tag label="cat" source="auto">\n'
        b'<attribute name="confidence">0.5</attribute>\n</tag>\n<tag label="dog"/>\n</image>\n</annotations>\n'
    )
    rows = _as_parquet(wide)
    files = "nlcli.data.sources.tag_files:read_tags"
    described = (
        ("wide tables of tags", wide, "lines", "t.csv"),
        ("long tables of tags", long, "lines", "t.csv"),
        ("tables of tags in Parquet", rows, "parquet", "t.parquet"),
        ("tables of tags in JSONL", lines, "lines", "t.jsonl"),
        ("tags in COCO JSON", json.dumps(coco).encode(), "json", "t.json"),
        ("tags of Label Studio", json.dumps(tasks).encode(), "json", "t.json"),
        ("tags of CVAT", cvat, "lines", "t.xml"),
    )
    made = [Reader(what, files, sample, form, _to_table, place) for what, sample, form, place in described]
    made += [
        Reader("checked tags", files, checked, "lines", lambda f, p: f(p, checked=True), "t.csv"),
        Reader("checked labels", "nlcli.data.sources.checked_list:read_checked", checked, "lines", place="t.csv"),
    ]
    vectors = io.BytesIO()
    np.save(vectors, np.arange(12, dtype=np.float32).reshape(4, 3))
    opened = "nlcli.data.features.vectors:open_vectors"
    made += [
        Reader(
            "vectors in NumPy",
            opened,
            vectors.getvalue(),
            "bytes",
            lambda f, p: _drained(f(p, _with_keys(p), None)),
            "v.npy",
        ),
        Reader(
            "vectors in Parquet",
            opened,
            _vectors_in_parquet(),
            "parquet",
            lambda f, p: _drained(f(p, None, None)),
            "v.parquet",
        ),
        Reader(
            "vectors in an archive",
            opened,
            _vectors_in_npz(),
            "bytes",
            lambda f, p: _drained(f(p, None, None)),
            "v.npz",
        ),
        Reader("vectors in HDF5", opened, _vectors_in_hdf5(), "bytes", _tasted, "v.h5"),
        Reader(
            "vectors in safetensors",
            opened,
            _vectors_in_safetensors(),
            "bytes",
            lambda f, p: _drained(f(p, _with_keys(p), None)),
            "v.safetensors",
        ),
    ]
    return made


class _Taster:
    """The process that looks at HDF5 first, one file after another until it dies of one; a fork for each is dear."""

    def __init__(self) -> None:
        self._process = 0
        self._there, self._back = -1, -1

    def trial(self, path: Path, archive: bool) -> int:
        """As ``hdf5_trial.trial``."""
        if not self._process:
            self._begin()
        os.write(self._there, json.dumps([os.fspath(path), archive]).encode() + b"\n")
        signal.alarm(10 * SECONDS)  # its clock is the processor's
        answer = os.read(self._back, 1)
        signal.alarm(SECONDS)
        if answer:
            return 0
        _, status = os.waitpid(self._process, 0)
        os.close(self._there), os.close(self._back)
        self._process = 0
        return os.waitstatus_to_exitcode(status)

    def _begin(self) -> None:
        theirs, self._there = os.pipe()
        self._back, ours = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            try:
                os.close(self._there), os.close(self._back)
                self._look_at_all(theirs, ours)
            finally:
                os._exit(0)
        os.close(theirs), os.close(ours)

    @staticmethod
    def _look_at_all(paths: int, answers: int) -> None:
        from nlcli.stages import hdf5_trial

        signal.alarm(0)
        with open(paths, encoding="utf-8") as lines:
            for line in lines:
                path, archive = json.loads(line)
                hdf5_trial.look(Path(path), archive, 1)
                os.write(answers, b".")


@functools.cache
def _taster(process: int) -> _Taster:
    """The one of a process, by its number."""
    del process
    return _Taster()


def _tasted(function: Any, path: Path) -> object:
    """As ``_drained``; the process that looks at the file first is a fork, which need not import anything."""
    from nlcli.stages import hdf5_trial

    hdf5_trial.trial = _taster(os.getpid()).trial
    return _drained(function(path, None, None))


def _drained(vectors: Any) -> object:
    """Whatever a file of vectors holds, read to its end."""
    return [block.values.shape for block in vectors.reader.blocks()]


def _to_table(function: Any, path: Path) -> object:
    """What ``build-tags`` makes of a file, but for the look at its pictures."""
    from nlcli.data.sources.tagged_images import label_table, settle_names, settle_verification

    tagged, classes = settle_names(function(path), "keep", None, str(path))
    tagged, verification = settle_verification(tagged, "listed", len(classes), str(path))
    return label_table(tagged, verification, classes, np.ones(len(tagged), bool), path.parent)


def _with_keys(path: Path) -> Path:
    keys = path.with_name("keys.txt")
    keys.write_text("a.jpg\nb.jpg\nc.jpg\nd.jpg\n")
    return keys


def _vectors_in_parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = io.BytesIO()
    rows = pa.array([[1.0, 2.0], [3.0, 4.0], None], pa.list_(pa.float32()))
    pq.write_table(pa.table({"key": ["a.jpg", "b.jpg", "c.jpg"], "vector": rows}), target)
    return target.getvalue()


def _vectors_in_npz() -> bytes:
    target = io.BytesIO()
    np.savez_compressed(target, keys=np.array(["a.jpg", "b.jpg"]), vectors=np.arange(6, dtype=np.float32).reshape(2, 3))
    return target.getvalue()


def _vectors_in_hdf5() -> bytes:
    import h5py

    target = io.BytesIO()
    with h5py.File(target, "w") as file:
        file.create_dataset("keys", data=[b"a.jpg", b"b.jpg"])
        file.create_dataset("vectors", data=np.ones((2, 3), np.float32), chunks=(1, 3), compression="gzip")
    return target.getvalue()


def _vectors_in_safetensors() -> bytes:
    table = {"vectors": {"dtype": "F16", "shape": [4, 3], "data_offsets": [0, 24]}}
    header = json.dumps(table).encode()
    return len(header).to_bytes(8, "little") + header + np.ones(12, np.float16).tobytes()


def _load(function: Any, path: Path) -> object:
    from nlcli.errors import NlcliError
    from nlcli.networks.images import ImageError, Preprocessing

    try:
        return function(path, Preprocessing(size=32, scaling="unit"))
    except ImageError as error:  # a row with an error
        raise NlcliError(str(error)) from error


def _pictures(png: bytes) -> dict[str, bytes]:
    from PIL import Image

    pictures = {}
    for kind in ("JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        target = io.BytesIO()
        Image.open(io.BytesIO(png)).convert("RGB").save(target, kind)
        pictures[kind] = target.getvalue()
    return pictures


def _as_parquet(table: bytes) -> bytes:
    import pandas as pd

    target = io.BytesIO()
    pd.read_csv(io.BytesIO(table), dtype=str).to_parquet(target, index=False)
    return target.getvalue()


def run(quick: bool, seed: int, inputs: int = INPUTS, only: Sequence[str] = ("",)) -> list[Count]:
    """``inputs`` for each reader whose name holds one of ``only`` (``quick``: 8)."""
    started = time.monotonic()
    preload()
    importlib.import_module("pyarrow.dataset")  # which it would import when it is first asked for a table
    with tempfile.TemporaryDirectory() as root:
        made = _world(Path(root))
        asked = [reader for reader in readers(made) if any(part in reader.name for part in only)]
        counts = [_fuzz(reader, QUICK_INPUTS if quick else inputs, seed) for reader in asked]
    print(f"fuzz: {sum(c.times for c in counts):,} inputs in {time.monotonic() - started:.0f} s")
    return counts
