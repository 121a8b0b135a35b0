"""What a detector sees of a data set: features in the order asked for, and as many as it is to hold."""

from __future__ import annotations

import numpy as np

from worlds.detection import World, data_of


def test_features_come_in_the_order_asked_for(world: World) -> None:
    data = data_of(world)  # 690 images in shards of 200, in another order than the data set's
    for positions in (np.array([400, 3, 77, 3, 12]), np.arange(50), np.zeros(0, np.int64)):
        found = data.features(data.train, positions)
        np.testing.assert_array_equal(found, world.features[data.train.rows[positions]])
        assert found.dtype == np.float32
    rows = np.concatenate([data.train.rows[part] for part, _ in data.parts(data.train)])
    np.testing.assert_array_equal(rows, data.train.rows)


def test_a_class_is_drawn_once(world: World) -> None:
    data = data_of(world, class_images=10)
    positions = data.train.of_class(1)
    drawn = data.at_most(positions, 1, 0)
    assert len(drawn) == 10
    assert np.isin(drawn, positions).all()
    assert (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(data.at_most(positions, 1, 0), drawn)
    assert len(data.at_most(positions, 1, 0, 4)) == 4
    assert set(data.at_most(positions, 1, 0, 4)) < set(drawn)
