"""Rules, and the machine that walks a page's chain."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.paging.rules import Chain, Link, Method, after, chain_of, due, parse_rule, unanswered

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)
GAP = timedelta(minutes=5)


def test_a_rule_is_methods_with_delays() -> None:
    assert parse_rule("slack 0m, pagerduty 2m,mail 1h") == (
        Method("slack", 0),
        Method("pagerduty", 120),
        Method("mail", 3600),
    )


@pytest.mark.parametrize(
    "text", ["", "mail", "pigeon 1m", "mail 5m, slack 1m", "mail 30h", "mail -1m", "mail 1m;", "mail 0m," * 11]
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rule(text)


def walk(chain: Chain, fates: list[bool]) -> list[tuple[Link, datetime]]:
    """Every attempt with its instant, until nobody answered; ``fates`` says what channels take."""
    now, tried = NOW, []
    for number in range(1000):
        now = max(now, chain.due)
        if unanswered(chain, now):
            return [*tried]
        link = due(chain, now)
        assert link is not None, "neither an attempt nor an end is due: silence"
        assert due(chain, chain.due - timedelta(microseconds=1)) is None
        tried.append((link, now))
        chain = after(chain, now, taken=fates[number % len(fates)], gap=GAP)
    raise AssertionError("it does not end")


def test_silence_pages_again_and_then_the_next() -> None:
    rules = {"amal": parse_rule("slack 0m, mail 2m"), "bo": parse_rule("mail 1m")}
    tried = walk(chain_of([["amal"], ["bo"]], rules, NOW, times=2), [True])
    assert [(link.person, link.channel, (at - NOW).total_seconds() / 60) for link, at in tried] == [
        ("amal", "slack", 0),
        ("amal", "mail", 2),
        ("amal", "slack", 7),
        ("amal", "mail", 9),
        ("bo", "mail", 15),
        ("bo", "mail", 21),
    ]


def test_after_a_failed_method_the_next_is_tried_at_once() -> None:
    rules = {"amal": parse_rule("slack 0m, pagerduty 2m, mail 5m")}
    tried = walk(chain_of([["amal"]], rules, NOW, times=1), [False, True, True])
    assert [(at - NOW).total_seconds() for _, at in tried] == [0, 0, 180]


def test_whom_nothing_reaches_does_not_hold_up_the_next() -> None:
    rules = {"amal": parse_rule("mail 0m"), "bo": parse_rule("mail 0m")}
    tried = walk(chain_of([["amal"], ["bo"]], rules, NOW, times=2), [False])
    assert (tried[2][0].person, tried[2][1] - NOW) == ("bo", timedelta(seconds=30))


METHODS = st.lists(
    st.builds(Method, st.sampled_from(["slack", "mail"]), st.integers(0, 900)), min_size=1, max_size=4
).map(lambda found: tuple(sorted(found, key=lambda method: method.after)))


def test_who_is_on_call_together_is_paged_together_and_nobody_twice() -> None:
    rules = {name: parse_rule("mail 0m, slack 2m") for name in ("amal", "bo", "cleo")}
    tried = walk(chain_of([["amal", "bo"], ["amal"], ["bo"], ["cleo"]], rules, NOW, times=1), [True])
    assert [(link.person, link.channel, (at - NOW).total_seconds() / 60) for link, at in tried] == [
        ("amal", "mail", 0),
        ("bo", "mail", 0),
        ("amal", "slack", 2),
        ("bo", "slack", 2),
        ("cleo", "mail", 7),
        ("cleo", "slack", 9),
    ]


@pytest.mark.parametrize(("fate", "mail"), [(True, 3), (False, 1)])
def test_copies_go_out_after_the_first_attempt_and_nobody_waits_for_them(fate: bool, mail: int) -> None:
    rules = {"amal": parse_rule("slack 1m, mail 3m")}
    tried = walk(chain_of([["amal"]], rules, NOW, times=1, copies=["x", "y", "x"]), [fate])
    assert [(link.person, link.copy, (at - NOW).total_seconds() / 60) for link, at in tried] == [
        ("amal", False, 1),
        ("x", True, 1),
        ("y", True, 1),
        ("amal", False, mail),
    ]


def test_copies_alone_go_out_at_once() -> None:
    chain = chain_of([], {}, NOW, times=2, copies=["x", "y"])
    assert [(link.person, at) for link, at in walk(chain, [True])] == [("x", NOW), ("y", NOW)]


@given(
    st.lists(METHODS, max_size=4),
    st.integers(1, 4),
    st.lists(st.booleans(), min_size=1, max_size=8),
    st.integers(0, 4),
    st.lists(st.sampled_from(["x", "y"]), max_size=2, unique=True),
)
def test_a_chain_is_never_silent_never_doubles_keeps_order_and_ends(
    methods: list[tuple[Method, ...]], times: int, fates: list[bool], together: int, copies: list[str]
) -> None:
    rules = {f"p{number}": rule for number, rule in enumerate(methods)}
    turns = [[*rules][:together], *([person] for person in rules)]
    chain = chain_of(turns, rules, NOW, times=times, copies=copies)
    tried = walk(chain, fates)
    assert [link for link, _ in tried] == list(chain.links), "each once, in order"
    assert len(tried) == times * sum(map(len, methods)) + len(copies)
    instants = [at for _, at in tried]
    assert instants == sorted(instants)
