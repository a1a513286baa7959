"""The clean checkpoint by rule: the traps of the range's story, and that no version passes with a reason against it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.systems.mlflow.clean import Facts, Findings, Search, instant, judge, search
from activities.systems.mlflow.config import Tags

TAGS = Tags()
BAD = datetime(2026, 9, 10, tzinfo=UTC)


def facts(number: str, *, built: int = -10, taken: int = -12, builder: str = "builder-1", **tags: str) -> Facts:
    """A version: when it was built and its data taken, in days from the first bad moment."""
    known = {
        "builder": builder,
        "built_at": (BAD + timedelta(days=built)).isoformat(),
        "dataset": f"snap-{number}",
        "dataset_at": (BAD + timedelta(days=taken)).isoformat(),
    }
    return Facts(number, {**known, **tags}, created=BAD - timedelta(days=20))


STORY = [
    facts("1", built=-60, taken=-62),
    facts("2", built=-30, taken=-32),
    facts("3", built=-5, taken=-8, builder="builder-2"),
    facts("4", built=3, taken=2),
    facts("5", built=6, taken=5, builder="builder-2"),
]
"""The range's: every signature is valid, and the clean version is N-3."""


def looked(findings: dict[str, Findings], order: list[str] | None = None) -> object:
    """What was found of each version; ``order`` keeps in which order it was asked."""

    def look(of: Facts) -> Findings:
        if order is not None:
            order.append(of.number)
        return findings.get(of.number, Findings(digest=f"d{of.number}"))

    return look


def run(versions: list[Facts] = STORY, findings: dict[str, Findings] | None = None, **more: object) -> Search:
    """A search with builder-2 compromised."""
    return search(versions, looked(findings or {}), BAD, ["builder-2"], TAGS, **more)  # type: ignore[arg-type]


def test_a_valid_signature_of_a_compromised_builder_is_not_clean_and_n_minus_3_is_found() -> None:
    found = run()
    assert found.found is not None
    assert (found.found.number, found.behind, found.found.digest) == ("2", 3, "d2")
    assert found.rejected == [
        "5: builder builder-2 is compromised; it was built at 2026-09-16T00:00:00Z, not before the first bad moment; "
        "its dataset was taken at 2026-09-15T00:00:00Z, not before the first bad moment",
        "4: it was built at 2026-09-13T00:00:00Z, not before the first bad moment; "
        "its dataset was taken at 2026-09-12T00:00:00Z, not before the first bad moment",
        "3: builder builder-2 is compromised",
    ]


def test_older_versions_are_not_looked_into() -> None:
    asked: list[str] = []
    search(STORY, looked({}, asked), BAD, ["builder-2"], TAGS)  # type: ignore[arg-type]
    assert asked == ["5", "4", "3", "2"]


@pytest.mark.parametrize(
    ("findings", "reason"),
    [
        (Findings(evaluation=("its stored evaluation is missing",)), "its stored evaluation is missing"),
        (Findings(signature=("its files are not what was signed (1)",)), "its files are not what was signed (1)"),
        (Findings(release=("index is missing (index.json)",)), "index is missing (index.json)"),
    ],
)
def test_what_is_found_inside_rejects_and_the_next_older_one_is_taken(findings: Findings, reason: str) -> None:
    found = run(findings={"2": findings})
    assert found.found is not None
    assert (found.found.number, found.behind) == ("1", 4)
    assert found.rejected[-1] == f"2: {reason}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"builder": ""}, "it does not say who built it"),
        ({"builder": " Builder-2 "}, "builder Builder-2 is compromised"),
        ({"built_at": ""}, "it does not say when it was built"),
        ({"built_at": "yesterday"}, "it does not say when it was built"),
        ({"built_at": "2026-01-01T00:00:00"}, "it does not say when it was built"),
        ({"built_at": BAD.isoformat()}, "it was built at 2026-09-10T00:00:00Z, not before the first bad moment"),
        ({"built_at": "2026-09-10T02:00:00+02:00"}, "it was built at 2026-09-10T00:00:00Z"),
        ({"dataset_at": ""}, "it does not say when its dataset was taken"),
        ({"dataset": " "}, "it does not say which dataset it was made of"),
        ({"quarantine": "INC-1"}, "it is quarantined (INC-1)"),
        ({"quarantine": ""}, "it is quarantined"),
        ({"revoked": "INC-1\nfound: true"}, "it is revoked (INC-1�found: true)"),
    ],
)
def test_what_a_version_says_or_does_not_say_counts_against_it(changes: dict[str, str], reason: str) -> None:
    verdict = judge(facts("2", **changes), Findings(), BAD, ["builder-2"], TAGS)
    assert not verdict.clean
    assert reason in verdict.line()


def test_a_version_that_is_not_ready_is_not_clean() -> None:
    verdict = judge(Facts("2", facts("2").tags, status="FAILED_REGISTRATION"), Findings(), BAD, [], TAGS)
    assert verdict.reasons == ("the registry says that it is FAILED_REGISTRATION",)


def test_a_version_registered_later_than_it_says_it_was_built_is_noted() -> None:
    verdict = judge(Facts("2", facts("2").tags, created=BAD), Findings(), BAD, [], TAGS)
    assert verdict.clean
    assert "its builder's word" in verdict.notes[0]


def test_only_versions_before_the_bad_one_are_looked_at() -> None:
    newer = [*STORY, facts("6", built=-1, taken=-2)]
    found = run(newer, before="5")
    assert found.found is not None
    assert (found.found.number, found.behind) == ("2", 3)
    assert run(newer).found == judge(newer[-1], Findings(digest="d6"), BAD, [], TAGS)


def test_without_a_clean_version_none_is_found() -> None:
    found = run(STORY[2:])
    assert (found.found, found.behind, len(found.rejected)) == (None, 0, 3)


days = st.integers(-40, 40)


@given(
    st.lists(st.tuples(days, days, st.sampled_from(["a", "b"]), st.booleans(), st.booleans()), max_size=8),
    st.sets(st.sampled_from(["a", "b"])),
)
def test_the_found_version_is_the_newest_with_nothing_against_it(
    rows: list[tuple[int, int, str, bool, bool]], compromised: set[str]
) -> None:
    versions = [
        facts(str(n), built=built, taken=taken, builder=builder, **({"quarantine": "i"} if held else {}))
        for n, (built, taken, builder, held, _) in enumerate(rows, 1)
    ]
    findings = {str(n): Findings(evaluation=() if good else ("no",)) for n, (*_, good) in enumerate(rows, 1)}
    good = [
        str(n)
        for n, (built, taken, builder, held, passes) in enumerate(rows, 1)
        if built < 0 and taken < 0 and builder not in compromised and not held and passes
    ]
    found = search(versions, looked(findings), BAD, compromised, TAGS)  # type: ignore[arg-type]
    assert (found.found.number if found.found else None) == (good[-1] if good else None)
    if found.found:
        assert found.behind == len(rows) - int(found.found.number)
        assert len(found.rejected) == found.behind


@given(st.text(max_size=40))
def test_no_text_of_a_tag_breaks_reading_an_instant(text: str) -> None:
    found = instant(text)
    assert found is None or found.tzinfo is not None
