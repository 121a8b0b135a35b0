"""ImageNet's classes."""

from __future__ import annotations

from nlcli.networks.imagenet import imagenet_classes, imagenet_ids


def test_imagenet_classes() -> None:
    names = imagenet_classes()
    assert len(names) == 1000
    assert (names[0], names[281], names[999]) == ("tench", "tabby", "toilet_tissue")


def test_imagenet_ids() -> None:
    ids = imagenet_ids()
    assert (len(ids), ids[0], ids[281]) == (1000, "n01440764", "n02123045")
    assert list(ids) == sorted(set(ids))
