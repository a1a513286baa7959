"""Who is taken for an extractor of a model: the harvester, slow or not, and never a customer however busy."""

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.systems.inference.config import InferenceConfig, Thresholds
from activities.systems.inference.files import micros
from activities.systems.inference.grid import ODD, Grid, Lowest, Seen
from activities.systems.inference.rule import Profile, judge
from activities.systems.inference.traffic import read_traffic
from tests.systems.inference_traffic import (
    SINCE,
    START,
    UNTIL,
    Population,
    anything,
    asks,
    customer,
    harvest,
    innocents,
    line,
)

CONFIG = InferenceConfig(logs="/logs")


def profiles(lines: list[dict[str, Any]], config: InferenceConfig = CONFIG, **changes: Any) -> dict[str, Profile]:
    """Of each caller in the window."""
    spans = {"since": SINCE, "until": UNTIL, "baseline_until": SINCE, **changes}
    marks = {name: micros(at.isoformat()) or 0 for name, at in spans.items()}
    return {one.id: one for one in judge(read_traffic(lambda: iter(lines), config, **marks), config.thresholds)}


def test_the_slow_harvester_is_a_suspect_and_the_busy_partner_is_none() -> None:
    found = profiles([*innocents(), *harvest()])
    assert {one.id for one in found.values() if one.suspect} == {"harvester"}
    thief, partner = found["harvester"], found["partner-atlas"]
    assert partner.rows > 2 * thief.rows and partner.points == 0 and partner.budget < 1
    assert thief.novelty > 0.9 and thief.logprobs > 0.7 and thief.budget > 1
    said = " ".join(thief.reasons)
    assert "where no baseline has any" in said and "ask for log probabilities" in said and "budget" in said


@pytest.mark.parametrize("seed", [2, 3])
def test_a_harvester_that_asks_for_no_log_probabilities_is_found_by_where_it_asks(seed: int) -> None:
    found = profiles([*innocents(seed), *harvest(seed, 300, logprobs=0.0)])
    assert {one.id for one in found.values() if one.suspect} == {"harvester"}
    assert found["harvester"].coverage > 1.6 and found["harvester"].logprobs == 0


def test_a_caller_is_measured_by_its_own_habit() -> None:
    shop = Population(3)
    always = asks("analytics", 900, shop, 4, logprobs=1.0)
    found = profiles([*innocents(), *always])
    assert (found["analytics"].logprobs, found["analytics"].points) == (1.0, 0)
    began = [*asks("analytics", 700, shop, 5, until=SINCE), *asks("analytics", 150, shop, 6, since=SINCE, logprobs=1.0)]
    assert "log probabilities" in profiles([*innocents(), *began])["analytics"].reasons[0]


def test_log_probabilities_within_the_budget_are_not_enough_and_beyond_it_they_are() -> None:
    shop = Population(3)
    before = asks("analytics", 500, shop, 5, until=SINCE)
    few = [*before, *asks("analytics", 100, shop, 6, since=SINCE, logprobs=1.0)]
    many = [*before, *asks("analytics", 700, shop, 6, since=SINCE, logprobs=1.0)]
    assert not profiles([*innocents(), *few])["analytics"].suspect
    assert profiles([*innocents(), *many])["analytics"].suspect


def test_volume_alone_makes_no_suspect() -> None:
    burst = asks("partner-atlas", 3_500, Population(1), 8, since=SINCE)
    partner = profiles([*innocents(), *burst])["partner-atlas"]
    assert partner.budget > 2 and not partner.suspect and len(partner.reasons) == 1


def test_a_new_campaign_of_a_customer_makes_no_suspect() -> None:
    shop = Population(5)

    def with_campaign(rng: random.Random) -> Any:
        row = shop(rng)
        return (*row[:3], 11.0) if rng.random() < 0.5 else row

    lines = [*asks("crm-two", 600, shop, 3, until=SINCE), *asks("crm-two", 300, with_campaign, 4, since=SINCE)]
    found = profiles([*innocents(), *lines])["crm-two"]
    assert found.novelty > 0.3 and not found.suspect


def test_probing_near_the_boundary_is_a_sign() -> None:
    rng = random.Random(4)
    near = [
        line("harvester", SINCE + (UNTIL - SINCE) * rng.random(), anything(rng), number, score=0.5 + rng.uniform(-0.04, 0.04))
        for number in range(100)
    ]  # fmt: skip
    found = profiles([*innocents(), *near])["harvester"]
    assert found.suspect and any("decision boundary" in reason for reason in found.reasons)


def test_regular_timing_is_said_of_a_suspect_and_makes_none() -> None:
    step = (UNTIL - SINCE) / 200
    rng, shop = random.Random(5), Population(1)
    clock = [line("crm-sync", SINCE + step * number, shop(rng), number) for number in range(200)]
    thief = [line("harvester", SINCE + step * number, anything(rng), number, logprobs=True) for number in range(200)]
    found = profiles([*innocents(), *asks("harvester", 50, shop, 9, until=SINCE), *clock, *thief])
    assert 0 <= found["harvester"].dispersion < 0.5 and "regular intervals" in found["harvester"].reasons[-1]
    calm = profiles([*[one for one in innocents() if one["caller"] != "crm-sync"], *clock])["crm-sync"]
    assert 0 <= calm.dispersion < 0.5 and calm.reasons == ()


def test_a_short_baseline_makes_nobody_odd() -> None:
    found = profiles([*asks("crm-sync", 400, anything, 1), *asks("partner-atlas", 400, anything, 2)])
    assert found["crm-sync"].novelty > 0.5 and found["crm-sync"].points == 0 == found["partner-atlas"].points


def test_who_was_as_odd_before_is_no_suspect_but_is_named() -> None:
    always = asks("harvester", 900, anything, 6)
    found = profiles([*innocents(), *always])["harvester"]
    assert not found.suspect and found.odd_before
    # The baseline ends before it began: then it is one.
    began = [one for one in always if one["at"] > "2026-11-11"]
    early = profiles([*innocents(), *began], baseline_until=START.replace(day=11))
    assert early["harvester"].suspect and not early["partner-atlas"].suspect


@pytest.mark.parametrize("hours", [6, 24, 72])
def test_a_harvest_that_began_before_the_window_acquits_nobody(hours: int) -> None:
    began = SINCE - timedelta(hours=hours)
    thieves = [
        *asks("harvester", 300, anything, 6, since=began, logprobs=1.0),
        *asks("second", 300, anything, 7, since=began),
    ]
    found = profiles([*innocents(), *thieves])
    assert {one.id for one in found.values() if one.suspect} == {"harvester", "second"}
    assert not found["harvester"].established and found["partner-atlas"].established


def test_too_few_requests_are_not_judged() -> None:
    found = profiles([*innocents(), *asks("visitor", 20, anything, 3, since=SINCE, logprobs=1.0)])["visitor"]
    assert not found.judged and not found.suspect and found.reasons == ()


def test_without_a_baseline_nothing_is_unusual() -> None:
    found = profiles([one for one in [*innocents(), *harvest()] if one["at"] >= SINCE.isoformat()[:10]])
    assert not any(one.novelty or one.coverage for one in found.values())
    assert not found["partner-atlas"].suspect


def test_inputs_that_are_hashes_have_a_novelty_but_it_is_no_sign() -> None:
    rng = random.Random(7)
    lines = [line("app", START + (UNTIL - START) * rng.random(), f"{rng.randrange(300):064x}", n) for n in range(3000)]
    lines += [line("thief", SINCE + (UNTIL - SINCE) * rng.random(), f"{n + 1000:064x}", n) for n in range(100)]
    found = profiles(lines)
    assert found["thief"].novelty == 1.0 and found["app"].novelty < 0.05
    assert found["thief"].points == 0


def test_many_rows_or_tokens_count_as_what_they_are() -> None:
    rng = random.Random(8)
    batch = [line("crm-sync", SINCE, [list(customer(rng)) for _ in range(50)], 1)]  # type: ignore[arg-type]
    assert profiles([*innocents(), *batch])["crm-sync"].rows == profiles(innocents())["crm-sync"].rows + 50
    tokens = [line("chat", SINCE, "ab" * 32, number, tokens=700) for number in range(3)]
    assert profiles([*innocents(), *tokens])["chat"].rows == 2100


def test_stanchs_own_probes_are_not_profiled_and_a_key_stands_for_a_nameless_caller() -> None:
    own = asks("stanch-probe", 100, anything, 1, since=SINCE)
    keyed = asks("", 100, anything, 2, since=SINCE, key="ab" * 32, logprobs=1.0)
    found = profiles([*innocents(), *own, *keyed])
    assert "stanch-probe" not in found and found["ab" * 32].suspect and found["ab" * 32].keys == ("ab" * 32,)


SMALL = [*asks("crm-sync", 250, Population(2, 60), 2), *asks("partner-atlas", 500, Population(2, 60), 3)]
THIEF = asks("harvester", 60, anything, 4, since=SINCE, logprobs=1.0)


@settings(max_examples=6, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_lines_does_not_matter(rng: random.Random) -> None:
    lines = [*SMALL, *THIEF]
    wanted = profiles(lines)
    rng.shuffle(lines)
    assert profiles(lines) == wanted and wanted["harvester"].suspect


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000), st.integers(30, 400))
def test_an_innocents_traffic_makes_no_other_innocent_a_suspect(seed: int, count: int) -> None:
    more = asks("another-shop", count, Population(seed, 80), seed)
    found = profiles([*SMALL, *THIEF, *more])
    assert {one.id for one in found.values() if one.suspect} == {"harvester"}


@settings(max_examples=6, deadline=None)
@given(st.integers(2, 5))
def test_more_of_the_same_from_the_partner_hides_nobody(times: int) -> None:
    more = [one for number in range(times) for one in asks("partner-atlas", 300, Population(2, 60), 10 + number)]
    assert profiles([*SMALL, *THIEF, *more])["harvester"].suspect


def test_points_and_limits_are_settings() -> None:
    strict = InferenceConfig(logs="/logs", thresholds=Thresholds(suspect_at=99))
    assert not profiles([*innocents(), *harvest()], strict)["harvester"].suspect


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-5, 5)), min_size=1, max_size=60), st.randoms())
def test_a_grid_is_the_same_for_the_same_sample(rows: list[tuple[float, float]], rng: random.Random) -> None:
    shuffled = list(rows)
    rng.shuffle(shuffled)
    one, other = Grid(rows, 256), Grid(shuffled, 256)
    assert [one.cell(row) for row in rows] == [other.cell(row) for row in rows]
    assert one.cell((1.0, 2.0, 3.0)) == ODD


def test_a_grid_of_many_features_still_tells_near_from_far() -> None:
    rng = random.Random(3)
    rows = [tuple(rng.gauss(0, 1) for _ in range(40)) for _ in range(300)]
    grid = Grid(rows, 4096)
    assert grid.cell(rows[0]) == grid.cell(tuple(value + 1e-9 for value in rows[0]))
    assert grid.cell(tuple(value + 50 for value in rows[0])) not in {grid.cell(row) for row in rows}


def test_samples_and_filters_do_not_depend_on_order() -> None:
    rows = [(float(number), 1.0) for number in range(500)]
    one, other = Lowest(50), Lowest(50)
    for row in rows:
        one.add(row)
    for row in [*reversed(rows), *rows]:
        other.add(row)
    assert one.rows() == other.rows() and len(one.rows()) == 50
    seen = Seen(1 << 12)
    for number in range(100):
        seen.add(hash(str(number)) & (2**128 - 1) | number << 64)
    assert all(hash(str(number)) & (2**128 - 1) | number << 64 in seen for number in range(100))
