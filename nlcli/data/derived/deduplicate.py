"""Near-duplicate images within and across splits, found in less than quadratic time, and left out.

Xiao et al. 2015, section 5.1, remove near-duplicates between the clean and the noisy set, "which
ensures the reliability of our test protocol". Three tests, each wider than the one before:

1. the same file: equal content, or equal perceptual hashes of both kinds;
2. nearly the same picture: DCT hashes (64 bits) that differ in at most ``hash_bits`` bits, checked
   by difference hashes that differ in at most ``2 hash_bits + 4``;
3. nearly the same features: cosine of at least ``cosine``, where features are given.

How pairs are found without comparing all with all:

- Hashes: 64 bits are cut into m = b + k bands (b = ``hash_bits``). Hashes that differ in at most b
  bits agree in at least k of the bands, so it suffices to compare those that agree in some k of
  them: every pair is found. k is 2 up to b = 4, else 3; a million hashes fall into about two
  million buckets then.
- Features: 256 bits of centred, normalised features by random projections. 48 times the images are
  sorted by another 64 of these bits, each compared with the 8 next ones; those whose bits are as
  near as a cosine at the threshold would make them (plus three standard deviations) are compared
  by their features. Work is proportional to the number of images; a few pairs near the threshold
  are missed (``benchmarks/deduplicate.py`` measures how many).

What is removed: images are gone through by rank - test, validation, fully verified train, partly
verified train, the rest of train, each by key - and an image of ``remove_from`` (train alone,
unless said otherwise) is removed if it is a near-duplicate of one that was kept. Every removal
names that one; nothing is removed because of a chain of likenesses. What is alike within test, or
between validation and test, is reported and stays.

Written: ``removed.csv``, ``pairs.parquet`` (every pair), ``unreadable.csv``, and the filtered data
set. The hashes are a stage of their own, ``OUTPUT-hashes``, so other thresholds read no image.
"""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import say
from nlcli.data.config import Deduplicate, HashImages
from nlcli.data.derived.image_hashes import Hashes, hash_images, read_hashes
from nlcli.data.derived.near_pairs import HOW, SAME, Pairs, cosine_pairs, joined, near_hashes
from nlcli.data.label_files import TRUTH, read_dataset, read_truth, write_dataset, write_truth
from nlcli.data.labels import FULL, NONE, SPLITS, LabelTable, take_rows
from nlcli.data.score_chosen import carry_score_chosen, sample_of
from nlcli.data.statistics import write_single_label_statistics
from nlcli.data.true_tags import read_true_tags, write_true_tags
from nlcli.errors import NlcliError
from nlcli.stages.arrow_arrays import arrow_names, arrow_numbers, arrow_texts
from nlcli.stages.engines.engine import engine_of
from nlcli.stages.files import atomic_path, write_csv
from nlcli.stages.stage import open_stage, read_stage


def deduplicate(config: Deduplicate, *, force: bool = False) -> Path:
    """Find near-duplicates and write the filtered data set; see the module's docstring.

    Returns:
        The directory of the filtered data set.

    Raises:
        NlcliError: the data set or the features cannot be read, or no image could be.
    """
    record = read_stage(config.dataset, "dataset")
    features = None if config.features is None else read_stage(config.features, "features")
    output = Path(os.path.abspath(config.output))
    hashing = HashImages(
        dataset=config.dataset,
        output=output.with_name(f"{output.name}-hashes"),
        workers=config.workers,
        engine=config.engine,
        address=config.address,
        devices=config.devices,
    )
    engine_of(config)  # what is wrong with it is told before anything is read
    inputs = {"dataset": record, "features": features}
    with open_stage("dataset", config, inputs, seed=config.seed, force=force) as stage:
        if stage.up_to_date:
            return stage.output
        table = read_dataset(config.dataset)
        hashes = read_hashes(hash_images(hashing, force=force), len(table))
        broken = np.flatnonzero(hashes.error != None)  # noqa: E711 - elementwise
        if len(broken) == len(table):
            raise NlcliError(f"none of the {len(table):,} images could be read ({hashes.error[0]})")
        if len(broken):
            say(f"warning: {len(broken):,} images could not be read; they stay, and are named in unreadable.csv")
        unit, chosen = units(hashes, rank(table))
        say(f"{len(table) - len(chosen):,} of {len(table):,} images are copies of another one")
        parts = [near_hashes(hashes.dct[chosen], hashes.difference[chosen], hashes.seen[chosen], config.hash_bits)]
        if config.features is not None:
            parts.append(_near_features(config, table, chosen))
        near = joined(parts)
        removed, partner = choose_removed(table, unit, near, config.remove_from)
        found = _all_pairs(unit, chosen, near)
        _write_report(stage.work, table, hashes, unit, found, near, removed, partner)
        kept = np.flatnonzero(~removed)
        if (config.dataset / TRUTH).is_file() and table.task == "multi-label":
            truth, known = read_true_tags(config.dataset, table)
            write_true_tags(stage.work, table.keys[kept], truth[kept], known[kept])
        elif (config.dataset / TRUTH).is_file():
            write_truth(stage.work, table.keys[kept], read_truth(config.dataset, table)[kept])
        filtered = take_rows(table, kept)
        carry_score_chosen(config.dataset, stage.work, filtered)
        write_dataset(
            stage.work,
            filtered,
            {
                **{name: value for name, value in table.info.items() if name != "images"},
                "deduplicated": config.recipe(),
                "made_from": table.fingerprint,
            },
            derived=True,
        )
        sample = sample_of(stage.work, filtered)
        pairs = write_single_label_statistics(stage.work, sample) if table.task == "single-label" else {}
        stage.finish(_summary(table, found, removed) | pairs | {"unreadable": len(broken)})
    return stage.output


def _near_features(config: Deduplicate, table: LabelTable, chosen: np.ndarray) -> Pairs:
    from nlcli.data.features.store import FeatureStore

    assert config.features is not None
    store = FeatureStore(config.features)
    rows = store.rows_of(table.keys[chosen], strict=False)
    have = np.flatnonzero(rows >= 0)
    if len(have) < len(chosen):
        say(f"note: {len(chosen) - len(have):,} images have no features; they are compared by their hashes only")
    pairs = cosine_pairs(store, rows[have], config.cosine, config.seed)
    return replace(pairs, first=have[pairs.first], second=have[pairs.second])


def rank(table: LabelTable) -> np.ndarray:
    """Position of every image in the order in which images are kept: int64 (N,), a permutation."""
    worth = np.where(table.split == 2, 0, np.where(table.split == 1, 1, 4))
    train = table.split == 0
    worth[train & (table.verification == FULL)] = 2
    worth[train & (table.verification > NONE) & (table.verification < FULL)] = 3
    place = np.empty(len(table), np.int64)
    by_key = np.argsort(table.keys, kind="stable")
    place[by_key[np.argsort(worth[by_key], kind="stable")]] = np.arange(len(table))
    return place


def units(hashes: Hashes, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Group images that are the same picture: equal content, or both perceptual hashes equal.

    Returns:
        Unit of every image (int64), and of every unit its image of the first rank.
    """
    tag = hashes.content.copy()
    seen = hashes.seen
    tag[seen, 0], tag[seen, 1] = hashes.dct[seen], hashes.difference[seen]
    order = np.lexsort((place, tag[:, 1], tag[:, 0], seen))
    first = np.ones(len(order), bool)
    ahead, behind = order[1:], order[:-1]
    first[1:] = (tag[ahead] != tag[behind]).any(axis=1) | (seen[ahead] != seen[behind])
    unit = np.empty(len(order), np.int64)
    unit[order] = np.cumsum(first) - 1
    return unit, order[first]


# --- what goes -------------------------------------------------------------------------------


def choose_removed(
    table: LabelTable, unit: np.ndarray, near: Pairs, remove_from: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Which images go, and for each the kept image it is a near-duplicate of (-1: stays).

    Args:
        unit: (N,) unit of every image.
        near: Pairs of units.
        remove_from: Splits that images may be removed from.

    Returns:
        bool (N,) and int64 (N,).
    """
    count = int(unit.max()) + 1
    neighbours = _neighbours(near, count)
    crowded = np.bincount(unit, minlength=count) > 1
    crowded[near.first] = crowded[near.second] = True
    removable = np.isin(table.split, [SPLITS.index(name) for name in remove_from])
    keeper = np.full(count, -1, np.int64)  # the first image kept of each unit
    partner = np.full(len(unit), -1, np.int64)
    images = np.flatnonzero(crowded[unit])
    for image in images[np.argsort(rank(table)[images])].tolist():
        own = int(unit[image])
        if removable[image]:
            known = next((keeper[u] for u in (own, *neighbours(own)) if keeper[u] >= 0), -1)
            if known >= 0:
                partner[image] = known
                continue
        if keeper[own] < 0:
            keeper[own] = image
    return partner >= 0, partner


def _neighbours(near: Pairs, count: int) -> Any:
    ends = np.concatenate((near.first, near.second))
    others = np.concatenate((near.second, near.first))
    order = np.argsort(ends, kind="stable")
    others = others[order]
    starts = np.searchsorted(ends[order], np.arange(count + 1))
    return lambda unit: others[starts[unit] : starts[unit + 1]].tolist()


def _all_pairs(unit: np.ndarray, chosen: np.ndarray, near: Pairs) -> Pairs:
    """Pairs of images: every copy with the first image of its unit, and the first images of near units."""
    copies = np.flatnonzero(chosen[unit] != np.arange(len(unit)))
    count = len(copies)
    return Pairs(
        first=np.concatenate((chosen[unit[copies]], chosen[near.first])),
        second=np.concatenate((copies, chosen[near.second])),
        how=np.concatenate((np.full(count, SAME, near.how.dtype), near.how)),
        measure=np.concatenate((np.zeros(count, near.measure.dtype), near.measure)),
    )


def _write_report(
    directory: Path,
    table: LabelTable,
    hashes: Hashes,
    unit: np.ndarray,
    pairs: Pairs,
    near: Pairs,
    removed: np.ndarray,
    partner: np.ndarray,
) -> None:
    """What was found: ``pairs`` of images, which images went and why, of ``near`` units, and what could not be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ends = {"first": pairs.first, "second": pairs.second}
    columns: dict[str, pa.Array] = {name: arrow_texts(table.keys[end]) for name, end in ends.items()}
    columns |= {f"{name}_split": arrow_names(SPLITS, table.split[end]) for name, end in ends.items()}
    columns |= {"how": arrow_names(HOW, pairs.how), "measure": arrow_numbers(pairs.measure)}
    with atomic_path(directory / "pairs.parquet") as temporary:
        pq.write_table(pa.table(columns), temporary)

    measured = {
        (int(first), int(second)): (int(how), float(measure))
        for first, second, how, measure in zip(near.first, near.second, near.how, near.measure, strict=True)
    }

    def described(image: int) -> tuple[str, str, str]:
        return table.keys[image], SPLITS[table.split[image]], _labels(table, image)

    def removal(image: int) -> tuple[str, ...]:
        kept = int(partner[image])
        own, other = sorted((int(unit[image]), int(unit[kept])))
        how, measure = (SAME, 0.0) if own == other else measured[own, other]
        return *described(image), HOW[how], f"{measure:.4g}", *described(kept)

    columns_of_removed = ("key", "split", "noisy", "how", "measure", "kept", "kept_split", "kept_noisy")
    write_csv(directory / "removed.csv", columns_of_removed, map(removal, np.flatnonzero(removed).tolist()))
    unreadable = ((key, reason) for key, reason in zip(table.keys, hashes.error, strict=True) if reason is not None)
    write_csv(directory / "unreadable.csv", ("key", "reason"), unreadable)


def _labels(table: LabelTable, row: int) -> str:
    start, stop = table.noisy.indptr[row : row + 2]
    return ";".join(table.classes[c] for c in table.noisy.indices[start:stop])


def _summary(table: LabelTable, pairs: Pairs, removed: np.ndarray) -> dict[str, Any]:
    """Images before and after, and pairs by the splits of their images and by how they were found."""
    summary: dict[str, Any] = {"images": len(table), "removed": int(removed.sum())}
    for number, name in enumerate(SPLITS):
        summary[f"{name}_removed"] = int(np.sum(removed & (table.split == number)))
    for name, count in zip(HOW, np.bincount(pairs.how, minlength=len(HOW)).tolist(), strict=True):
        summary[f"pairs_by_{name.replace(' ', '_')}"] = count
    one, other = np.sort(np.stack((table.split[pairs.first], table.split[pairs.second])), axis=0)
    across = {}
    for a, b in combinations_with_replacement(range(len(SPLITS)), 2):
        where = f"within_{SPLITS[a]}" if a == b else f"{SPLITS[a]}_and_{SPLITS[b]}"
        across[f"pairs_{where}"] = int(np.sum((one == a) & (other == b)))
    return summary | {name: count for name, count in sorted(across.items()) if count}
