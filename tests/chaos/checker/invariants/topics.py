"""Topics: who wants a message gets it, once.

That the job of each subscription has the message as its work, is there at the end, and is the same
one whenever the message is published again is judged by I1 to I3, as of any submit.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.checker.scene import Scene
    from tests.chaos.history.topics import Publish
    from tests.chaos.result import Violation

__all__ = ["message_ids_stand_for_one", "messages_reach_all"]


def messages_reach_all(scene: Scene) -> Iterator[Violation]:
    """Topics: an acknowledged message has one job for each subscription that wanted it."""
    topics = scene.history.topics
    for publish in topics.publishes:
        if publish.receipts is None:
            continue
        certain, possible = topics.wanted_by(publish)
        told = set(publish.receipts)
        if lacking := sorted(certain - told):
            text = f"message {publish.message} was acknowledged without a job for {lacking[0]}"
            wanted = topics.patterns[lacking[0]].possible(publish.began, publish.at)
            yield scene.violation("topics", text, *wanted, publish)
        if strange := sorted(told - possible):
            text = f"message {publish.message} has a job for {strange[0]}, which does not want it"
            yield scene.violation("topics", text, publish)
        if publish.doubles:
            text = f"message {publish.message} has two jobs for {publish.doubles[0]}"
            yield scene.violation("topics", text, publish)


def message_ids_stand_for_one(scene: Scene) -> Iterator[Violation]:
    """Topics: a message is refused only where its id was used for another before."""
    users: defaultdict[str, list[Publish]] = defaultdict(list)
    for publish in scene.history.topics.publishes:
        users[publish.message].append(publish)
    for publish in scene.history.topics.publishes:
        if publish.code != "ALREADY_EXISTS":
            continue
        others = users[publish.message]
        if not any(each.work != publish.work and each.began <= publish.at for each in others):
            text = f"message {publish.message} was refused, and nobody used its id for another"
            yield scene.violation("topics", text, publish)
