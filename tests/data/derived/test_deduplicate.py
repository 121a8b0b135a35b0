"""Near-duplicates: every pair is found, the right images go, and none of test."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcli.data.config import AddNoise, Deduplicate
from nlcli.data.derived.add_noise import add_noise
from nlcli.data.derived.deduplicate import choose_removed, deduplicate
from nlcli.data.derived.image_hashes import perceptual_hashes
from nlcli.data.derived.near_pairs import HASH, Pairs, cosine_pairs, hamming_pairs
from nlcli.data.label_files import read_dataset, read_truth
from nlcli.data.labels import FULL, LabelTable, noisy_classes, single_label_table, take_rows
from nlcli.data.true_tags import read_true_tags
from nlcli.stages.stage import read_stage
from worlds.feature_store import Store
from worlds.stage_builders import published


def flipped(codes: np.ndarray, bits: int, rng: np.random.Generator) -> np.ndarray:
    """Each code with exactly ``bits`` bits changed."""
    out = codes.copy()
    for i in range(len(out)):
        for bit in rng.choice(64, bits, replace=False):
            out[i] ^= np.uint64(1 << int(bit))
    return out


@pytest.mark.parametrize("most", [0, 1, 2, 3, 4, 5, 6, 7, 8])
def test_every_near_pair_of_hashes_is_found(most: int) -> None:
    rng = np.random.default_rng(most)
    base = rng.integers(0, 2**64 - 1, 300, dtype=np.uint64)
    codes = np.concatenate([base, *(flipped(base[:40], bits, rng) for bits in range(10))])
    codes = codes[rng.permutation(len(codes))]
    first, second = hamming_pairs(codes, most)
    distance = np.bitwise_count(codes[:, None] ^ codes[None])
    expected = np.nonzero(np.triu(distance <= most, 1))
    assert len(expected[0]) >= 40 * (most + 1)
    assert np.array_equal(first, expected[0])
    assert np.array_equal(second, expected[1])


def test_no_pairs_among_none() -> None:
    for count in (0, 1):
        first, second = hamming_pairs(np.zeros(count, np.uint64), 4)
        assert len(first) == len(second) == 0


def test_near_features_are_found_and_others_are_not() -> None:
    rng = np.random.default_rng(0)
    centres = rng.random((20, 64))
    features = centres[rng.integers(0, 20, 3000)] + 0.25 * rng.standard_normal(
        (3000, 64)
    )  # clustered, as real ones are
    features[:300] = features[300:600] + 0.02 * rng.standard_normal((300, 64))
    features = np.maximum(features, 0).astype(np.float32)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosine = unit @ unit.T
    expected = set(zip(*np.nonzero(np.triu(cosine >= 0.98, 1)), strict=True))
    assert len(expected) >= 300
    pairs = cosine_pairs(Store(features), np.arange(3000), 0.98, 0)
    pairs_seen = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert pairs_seen <= expected  # each is checked by the features themselves
    assert len(pairs_seen) >= 0.98 * len(expected)
    assert pairs.measure == pytest.approx(cosine[pairs.first, pairs.second], abs=1e-5)


def test_hashes_survive_what_a_copy_goes_through() -> None:
    rng = np.random.default_rng(0)
    smooth = np.array(
        [
            np.asarray(
                Image.fromarray(rng.integers(0, 256, (6, 6), np.uint8)).resize((128, 128), Image.Resampling.BICUBIC),
                np.float32,
            )
            for _ in range(60)
        ]
    )
    shrink = np.array([np.asarray(Image.fromarray(p.astype(np.uint8)).resize((32, 32)), np.float32) for p in smooth])
    again = np.array(
        [np.asarray(Image.fromarray(p.astype(np.uint8)).resize((50, 40)).resize((32, 32)), np.float32) for p in smooth]
    )
    brighter = np.clip(shrink * 0.8 + 20, 0, 255)
    dct, difference = perceptual_hashes(shrink)
    for other in (again, brighter):
        other_dct, other_difference = perceptual_hashes(other)
        assert np.mean(np.bitwise_count(dct ^ other_dct) <= 4) > 0.9
        assert np.mean(np.bitwise_count(difference ^ other_difference) <= 12) > 0.9
    apart = np.bitwise_count(dct[:, None] ^ dct[None])[~np.eye(60, dtype=bool)]
    assert apart.min() > 4


def keys_table(splits: str, verified: str = "") -> LabelTable:
    """Images a, b, c, ... in the splits given by letters t(rain), v(alidation), e (test)."""
    count = len(splits)
    keys = [chr(97 + i) for i in range(count)]
    split = np.array(["tve".index(s) for s in splits])
    true = np.array([0 if key in verified or s != "t" else -1 for key, s in zip(keys, splits, strict=True)])
    return single_label_table(("x", "y"), keys, keys, Path("/i"), split, np.zeros(count, int), true)


def removed_keys(
    table: LabelTable, unit: list[int], near: list[tuple[int, int]], remove_from: tuple[str, ...] = ("train",)
) -> dict[str, str]:
    pairs = Pairs(
        *(np.array([p[i] for p in near], np.int64) for i in range(2)), np.full(len(near), HASH), np.ones(len(near))
    )
    removed, partner = choose_removed(table, np.array(unit), pairs, remove_from)
    return {str(table.keys[i]): str(table.keys[partner[i]]) for i in np.flatnonzero(removed)}


def test_train_goes_and_the_better_image_stays() -> None:
    table = keys_table("ttttve", verified="b")
    assert removed_keys(table, [0, 0, 1, 2, 3, 4], []) == {"a": "b"}  # the verified copy stays
    assert removed_keys(table, [0, 1, 2, 3, 4, 4], [(0, 4), (1, 4)]) == {
        "a": "f",
        "b": "f",
    }  # test stays, validation too
    assert removed_keys(table, [0, 1, 2, 3, 4, 4], [], ("train", "validation")) == {"e": "f"}
    assert removed_keys(table, [0, 1, 2, 3, 3, 4], []) == {"d": "e"}


def test_a_chain_of_likenesses_removes_only_what_is_like_a_kept_image() -> None:
    table = keys_table("tttt")
    assert removed_keys(table, [0, 1, 2, 3], [(0, 1), (1, 2), (2, 3)]) == {"b": "a", "d": "c"}


def test_within_test_nothing_goes_unless_said() -> None:
    table = keys_table("eeet")
    assert removed_keys(table, [0, 0, 1, 2], [(0, 1)]) == {}
    assert removed_keys(table, [0, 0, 1, 2], [(0, 1)], ("test",)) == {"b": "a", "c": "a"}


def picture(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Twenty pictures in train, ten in test; three of train are copies of others, two images are broken."""
    root = tmp_path / "photos"
    root.mkdir()
    keys, split = [], []
    for i in range(30):
        keys.append(f"{'train' if i < 20 else 'test'}-{i:02d}.jpg")
        split.append(0 if i < 20 else 2)
        picture(i).save(root / keys[-1], quality=95)
    (root / "train-01.jpg").write_bytes((root / "train-00.jpg").read_bytes())  # the same file
    picture(20).resize((60, 50)).save(root / "train-02.jpg", quality=60)  # a smaller copy of a test image
    picture(21).save(root / "test-22.jpg", quality=70)  # alike within test
    (root / "train-03.jpg").write_bytes(b"no image")
    (root / "train-04.jpg").write_bytes(b"no image")
    labels = np.arange(30) % 3
    table = single_label_table(("a", "b", "c"), keys, keys, root, np.array(split), labels, labels)
    return published(table, tmp_path / "data")


def test_the_whole_stage(photographs: Path, tmp_path: Path) -> None:
    noisy = add_noise(AddNoise(dataset=photographs, output=tmp_path / "noisy", rate=0.5))
    output = deduplicate(Deduplicate(dataset=noisy, output=tmp_path / "unique"))
    before, after = read_dataset(noisy), read_dataset(output)
    gone = set(before.keys) - set(after.keys)
    assert gone == {"train-01.jpg", "train-02.jpg"} or gone == {"train-00.jpg", "train-02.jpg"}
    with open(output / "removed.csv", newline="") as file:
        rows = {row["key"]: row for row in csv.DictReader(file)}
    assert (rows["train-02.jpg"]["kept"], rows["train-02.jpg"]["kept_split"]) == ("test-20.jpg", "test")
    assert rows["train-02.jpg"]["how"] in ("hash", "same picture")
    assert (gone - {"train-02.jpg"}).pop() in rows
    summary = read_stage(output).summary
    assert (summary["removed"], summary["test_removed"], summary["unreadable"]) == (2, 0, 2)
    assert summary["pairs_within_test"] == 1
    unreadable = (output / "unreadable.csv").read_text()
    assert unreadable.count("not an image in a known format") == 2  # equal content, yet both stay
    kept = [before.keys.tolist().index(key) for key in after.keys.tolist()]
    assert np.array_equal(read_truth(output, after), read_truth(noisy, before)[kept])
    assert np.array_equal(noisy_classes(after), noisy_classes(before)[kept])
    assert np.array_equal(after.verification, before.verification[kept])


def test_other_thresholds_read_no_image_again(photographs: Path, tmp_path: Path) -> None:
    deduplicate(Deduplicate(dataset=photographs, output=tmp_path / "unique"))
    for path in (tmp_path / "photos").iterdir():
        path.unlink()
    output = deduplicate(Deduplicate(dataset=photographs, output=tmp_path / "unique", hash_bits=0), force=True)
    assert len(read_dataset(output)) in (28, 29)


def test_features_of_a_network(photographs: Path, tmp_path: Path) -> None:
    """A cut-out of a test image is too far by its hashes, but near by its features."""
    from nlcli.data.config import ExtractFeatures
    from nlcli.data.features.extract import extract_features

    with Image.open(tmp_path / "photos" / "test-25.jpg") as image:
        image.crop((4, 3, 96, 80)).save(tmp_path / "photos" / "train-05.jpg", quality=95)
    features = extract_features(
        ExtractFeatures(dataset=photographs, backbone="small_cnn", weights="none", output=tmp_path / "features")
    )
    # An untrained network finds pictures alike at 0.9987; copies reach 0.9999.
    config = Deduplicate(dataset=photographs, features=features, output=tmp_path / "unique", cosine=0.9995)
    output = deduplicate(config)
    with open(output / "removed.csv", newline="") as file:
        rows = {row["key"]: row for row in csv.DictReader(file)}
    assert len(rows) == 3
    assert (rows["train-05.jpg"]["kept"], rows["train-05.jpg"]["how"]) == ("test-25.jpg", "cosine")
    assert 0.9995 <= float(rows["train-05.jpg"]["measure"]) <= 1
    assert {f"test-{i}.jpg" for i in range(20, 30)} <= set(read_dataset(output).keys)

    source = read_dataset(photographs)
    readable = source.keys[~np.isin(source.keys, ["train-03.jpg", "train-04.jpg"])]
    small = published(take_rows(source, np.flatnonzero(np.isin(source.keys, readable))), tmp_path / "readable")
    noisy = add_noise(AddNoise(dataset=small, kind="features", features=features, rate=0.4, output=tmp_path / "noisy"))
    table = read_dataset(noisy)
    wrong = noisy_classes(table) != read_truth(noisy, table)
    assert 5 <= wrong.sum() <= 18  # of 28, 11.2 expected, standard deviation at most 2.6
    assert table.verification[table.rows("train")].sum() == 4  # a tenth of 18: two, fully


@pytest.mark.slow
def test_real_photographs(shared_data: Path, tmp_path: Path) -> None:
    from nlcli.data.config import BuildFolders
    from nlcli.data.sources.folders import build_folders

    data = build_folders(BuildFolders(images=shared_data / "clothing", output=tmp_path / "data"))
    summary = read_stage(deduplicate(Deduplicate(dataset=data, output=tmp_path / "unique"))).summary
    assert 1 <= summary["removed"] <= 20  # one photograph lies in two class folders
    assert summary["test_removed"] == summary["unreadable"] == 0


def test_planted_tags_stay_known(photographs: Path, tmp_path: Path) -> None:
    source = read_dataset(photographs)
    full = replace(source, task="multi-label", verification=np.full(len(source), FULL, np.uint8))
    noisy = add_noise(AddNoise(dataset=published(full, tmp_path / "full"), output=tmp_path / "noisy", drop=0.5))
    output = deduplicate(Deduplicate(dataset=noisy, output=tmp_path / "unique"))
    table, whole = read_dataset(output), read_dataset(noisy)
    assert len(table) < len(whole)
    truth, known = read_true_tags(output, table)
    assert known.all()
    rows = [whole.keys.tolist().index(key) for key in table.keys.tolist()]
    assert np.array_equal(truth.toarray(), read_true_tags(noisy, whole)[0][rows].toarray())
