"""Who gets which shard, and what becomes of one whose worker dies: with workers that do what a list says."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

import pytest

from nlcli.errors import NlcliError
from nlcli.stages.engines import handing_out
from nlcli.stages.engines.handing_out import Crew, hand_out
from nlcli.stages.engines.shard_work import Advanced, Answer, Died, Done, Failed, Missing, Order, Refused, Shards
from worlds.shard_work import Copying, written_files


class Scripted(Crew):
    """Two workers; the next answer to a shard is the next of its list, and ``Done`` where the list is over."""

    def __init__(self, work: Copying, answers: dict[int, list[Answer]], elsewhere: bool = False) -> None:
        self.elsewhere = elsewhere
        self.work, self.answers = work, answers
        self.orders: list[tuple[int, bool]] = []
        self.held: dict[Hashable, Order] = {}
        self.closed = 0

    def idle(self) -> list[Hashable]:
        return [worker for worker in (0, 1) if worker not in self.held]

    def give(self, worker: Hashable, order: Order) -> None:
        assert worker not in self.held
        self.orders.append((order.shard.number, order.look))
        self.held[worker] = order

    def wait(self) -> list[tuple[Hashable, Answer]]:
        worker = next(iter(self.held))
        number = self.held[worker].shard.number
        script = self.answers.get(number, [])
        answer = script.pop(0) if script else Done()
        if isinstance(answer, Done):
            self.work.path(number).touch()
        if not isinstance(answer, Advanced):
            del self.held[worker]
        return [(worker, answer)]

    def place(self, worker: Hashable) -> str:
        return f"node {worker}" if self.elsewhere else ""

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def made(tmp_path: Path) -> tuple[Copying, Shards]:
    """Seven images in shards of two; the third has no file."""
    return written_files(tmp_path, ["a", "b", "-", "d", "e", "f", "g"])


def test_each_shard_is_made_once_and_every_image_counted(made: tuple[Copying, Shards]) -> None:
    work, shards = made
    work.path(1).touch()
    crew, told = Scripted(work, {2: [Advanced(1)]}), list[int]()
    hand_out(shards, shards.left(), crew, told.append)
    assert crew.orders == [(0, False), (2, False), (3, False)]
    assert sum(told) == 2 + 2 + 1  # the last shard has one image
    assert shards.left() == []
    assert crew.closed == 1


def test_what_a_dead_worker_was_making_is_given_again(made: tuple[Copying, Shards]) -> None:
    work, shards = made
    crew, told = Scripted(work, {0: [Advanced(1), Died(), Advanced(1), Died()]}), list[int]()
    hand_out(shards, range(4), crew, told.append)
    assert [number for number, _ in crew.orders].count(0) == 3
    assert sum(told) == 7
    assert told.count(-1) == 2  # what a dead worker had done is not done


def test_a_shard_that_kills_workers_is_named(made: tuple[Copying, Shards]) -> None:
    work, shards = made
    crew = Scripted(work, {1: [Died(), Died(), Died()]})
    with pytest.raises(NlcliError, match="3 workers died over the images 'n2' to 'n3', .*fewer --devices"):
        hand_out(shards, range(4), crew, lambda images: None)
    assert crew.closed == 1


def test_a_node_that_goes_is_not_blamed_on_the_images(made: tuple[Copying, Shards]) -> None:
    work, shards = made
    hand_out(shards, range(4), Scripted(work, {1: [Died(blamed=False)] * 5}), lambda images: None)
    assert shards.left() == []


def test_what_is_refused_says_where(made: tuple[Copying, Shards]) -> None:
    work, shards = made
    with pytest.raises(NlcliError, match="^it is full$"):
        hand_out(shards, range(4), Scripted(work, {0: [Refused("it is full")]}), lambda images: None)
    crew = Scripted(work, {1: [Refused("it is full")]}, elsewhere=True)
    with pytest.raises(NlcliError, match="^on node 1: it is full$"):
        hand_out(shards, range(4), crew, lambda images: None)
    with pytest.raises(ZeroDivisionError):
        hand_out(shards, range(4), Scripted(work, {0: [Failed(ZeroDivisionError())]}), lambda images: None)


def test_a_file_that_nobody_has_is_a_row_with_an_error(made: tuple[Copying, Shards]) -> None:
    """A worker elsewhere asks back once; the shard is then made without looking again."""
    work, shards = made
    crew = Scripted(work, {1: [Missing(shards[1].files[:1])]}, elsewhere=True)
    hand_out(shards, range(4), crew, lambda images: None)
    assert [order for order in crew.orders if order[0] == 1] == [(1, True), (1, False)]
    assert shards.left() == []


def test_a_machine_without_the_pictures_is_named(made: tuple[Copying, Shards]) -> None:
    work, shards = made
    crew = Scripted(work, {1: [Missing(shards[1].files)]}, elsewhere=True)
    with pytest.raises(
        NlcliError, match=r"^on node 1: there is no .*/in/3, which the machine of the command has; mount"
    ):
        hand_out(shards, range(4), crew, lambda images: None)
    assert 1 in shards.left()


def test_a_machine_that_writes_elsewhere_is_named(
    made: tuple[Copying, Shards], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that a shard is done, and nobody sees it."""
    work, shards = made
    monkeypatch.setattr(handing_out, "SEEN_WITHIN", 0.0)
    unseen = Shards(shards.images, shards.size, shards.take, whole=lambda number: False)
    with pytest.raises(
        NlcliError, match="on node 0: the images 'n0' to 'n1' were written where .*drive that all nodes"
    ):
        hand_out(unseen, range(4), Scripted(work, {}, elsewhere=True), lambda images: None)
