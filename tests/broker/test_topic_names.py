"""Topics and patterns: what is sound, what matches, and which pattern goes before another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.broker import Subscription, TopicRule
from penstock.broker.patterns import fault_of_pattern, fault_of_topic, matches, specificity
from penstock.broker.topic import Directory


@pytest.mark.parametrize("topic", ["a", "order.created", "a-b.c_d.1", "A1", ".".join("abcdefgh")])
def test_a_sound_topic_is_also_a_pattern(topic: str) -> None:
    assert fault_of_topic(topic) is None
    assert fault_of_pattern(topic) is None
    assert matches(topic, topic)


@pytest.mark.parametrize("pattern", ["*", "**", "order.*", "a.**", "*.created", "a.*.b", "*.**"])
def test_a_pattern_with_wildcards_is_no_topic(pattern: str) -> None:
    assert fault_of_pattern(pattern) is None
    assert "one topic" in (fault_of_topic(pattern) or "")


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "a.", ".a", "a..b", "a b", "a\n", "\0", "ä", "a/b", "a{b}", "-a", "a-", "_",
        "x" * 129, ".".join("a" * 17), "**.a", "a.**.b", "a*", "*a", "a.b*", "***", "*.*a", "a.?",
        "a.>", "a.#", "[a]", "*" * 129, "*." * 20 + "*",
    ],
)  # fmt: skip
def test_an_unsound_pattern_is_told_why(text: str) -> None:
    assert fault_of_pattern(text)
    assert fault_of_topic(text)


@pytest.mark.parametrize(
    ("pattern", "topic", "wanted"),
    [
        ("order.*", "order.created", True),
        ("order.*", "order", False),
        ("order.*", "order.item.added", False),
        ("order.**", "order.item.added", True),
        ("order.**", "order", False),
        ("*", "order", True),
        ("*", "order.created", False),
        ("**", "a", True),
        ("**", "a.b.c", True),
        ("*.created", "order.created", True),
        ("*.created", "created", False),
        ("*.**", "a", False),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.d", False),
        ("order", "orders", False),
        ("a.b", "a-b", False),
    ],
)
def test_patterns_stand_for_whole_segments(pattern: str, topic: str, *, wanted: bool) -> None:
    assert matches(pattern, topic) is wanted


segment = st.sampled_from(["a", "b", "ab"])
topic_names = st.lists(segment, min_size=1, max_size=4).map(".".join)
patterns = st.tuples(st.lists(segment | st.just("*"), min_size=1, max_size=4), st.booleans()).map(
    lambda drawn: ".".join(drawn[0] + ["**"] * drawn[1])
)


@given(patterns, topic_names)
def test_matching_agrees_with_its_meaning(pattern: str, topic: str) -> None:
    def means(wanted: list[str], given: list[str]) -> bool:
        if not wanted or not given:
            return not wanted and not given
        if wanted == ["**"]:
            return True
        return wanted[0] in {"*", given[0]} and means(wanted[1:], given[1:])

    assert matches(pattern, topic) == means(pattern.split("."), topic.split("."))


@given(st.lists(patterns, unique=True, max_size=12), topic_names)
def test_one_rule_is_the_most_specific(drawn: list[str], topic: str) -> None:
    directory = Directory(b"1", (), [TopicRule(pattern) for pattern in drawn])
    matching = [pattern for pattern in drawn if matches(pattern, topic)]
    assert len({specificity(pattern) for pattern in matching}) == len(matching)
    rule = directory.route(topic).rule
    assert (rule is None) == (not matching)
    if topic in drawn:
        assert rule is not None
        assert rule.pattern == topic
    if rule is not None and rule.pattern == "**":
        assert matching == ["**"]


def test_specific_goes_before_general_from_the_left() -> None:
    ordered = ["a.b.c", "a.b.*", "a.b.**", "a.*.c", "a.**", "*.b.c", "**"]
    rules = [TopicRule(pattern) for pattern in reversed(ordered)]
    found = Directory(b"1", (), rules).rules_for("a.b.c")
    assert [rule.pattern for rule in found] == ordered


def test_made_up_topics_do_not_fill_the_memory() -> None:
    mail = Subscription("mail", "order.*")
    directory = Directory(b"1", [mail], [])
    for number in range(10_000):
        directory.route(f"order.{number}")
    assert len(directory._routes) <= 4_096
    assert directory.route("order.7").subscriptions == (mail,)
