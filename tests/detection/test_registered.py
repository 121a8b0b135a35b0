"""What every registered detector says of itself, and names that none has."""

from __future__ import annotations

import pytest

from nlcli.detection import DETECTORS, make_detector
from nlcli.errors import NlcliError


@pytest.mark.parametrize("name", DETECTORS.ours)
def test_cards_tell_of_every_option(name: str) -> None:
    card = DETECTORS.describe(name)
    assert card["card"].startswith(f"# `{name}`: ")
    for option in card["options"]:
        assert f"`{option}`" in card["card"], f"the card of {name} does not tell of {option}"


def test_unknown_detectors_and_options() -> None:
    with pytest.raises(NlcliError, match=r"unknown detector 'cleanet'; did you mean 'cleannet'\?"):
        make_detector("cleanet")
    with pytest.raises(NlcliError, match=r"detector knn: unknown option 'neighbors'; did you mean 'neighbours'\?"):
        make_detector("knn", {"neighbors": 3})
    with pytest.raises(NlcliError, match="detector naive: unknown option 'k'; it has none"):
        make_detector("naive", {"k": 3})
    with pytest.raises(NlcliError, match="detector knn: option 'neighbours': .* greater than or equal to 1"):
        make_detector("knn", {"neighbours": 0})
