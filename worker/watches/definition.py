"""The watches of an installation, checked against what is installed."""

from pydantic import ValidationError

from playbooks.contract import FOREIGN, ActionFacts, Risk
from playbooks.expr_names import names
from playbooks.model_values import seconds
from worker.alerts.model import KINDS, Alert
from worker.alerts.routing import STARTS_FROM, Routes, Rule
from worker.alerts.sources import malformed
from worker.foreign import catalog_of
from worker.settings import Settings, SettingsError
from worker.settings_watches import WatchSettings
from workflows.watch import WatchInput


def watches_of(settings: Settings) -> dict[str, WatchInput]:
    """Every watch of the settings by its name, with what its finding starts.

    Raises:
        SettingsError: One of them names no reading action, or what that action does not know.
    """
    catalog, routes, found = catalog_of(settings), _routes(settings), {}
    for name, given in settings.file.watches.items():
        if given.action not in catalog.specs:
            raise _wrong(name, "action", f"there is no action {given.action}; docs/actions.md lists them")
        spec = catalog.spec(given.action)
        _check(name, given, spec.facts)
        try:
            spec.params.model_validate(given.params)
        except ValidationError as error:
            first = error.errors()[0]
            raise _wrong(name, ".".join(["params", *map(str, first["loc"])]), str(first["msg"])) from None
        rule = _rule(name, given, routes)
        found[name] = WatchInput(
            name=name,
            action=given.action,
            params=given.params,
            queue=f"{settings.queue_prefix}-{spec.facts.queue}",
            seconds=spec.facts.timeout_seconds,
            finds=given.condition,
            kind=given.kind,
            severity=given.severity,
            title=given.title,
            org=settings.file.organisation,
            route={"rule": rule.rule, "playbook": rule.playbook, "inputs": given.inputs} if rule else None,
            effect=bool(rule and rule.effect),
            since=tuple(key for key, filling in rule.inputs.items() if filling == "since") if rule else (),
        )
    return found


def source_of(name: str) -> str:
    """The source of a watch's alerts, as routes and journal name it."""
    return f"watch/{name}"


def every(given: WatchSettings) -> int:
    """Seconds from one look to the next."""
    return seconds(given.every)


def _routes(settings: Settings) -> Routes:
    try:
        return Routes.of(settings.file.routes)
    except ValidationError as error:
        raise malformed("routes", error) from None


def _rule(name: str, given: WatchSettings, routes: Routes) -> Rule | None:
    if given.severity < STARTS_FROM:
        return None
    return routes.rule_for(Alert(source=source_of(name), format="", kind=given.kind, received_at="", dedupe_key=""))


def _check(name: str, given: WatchSettings, facts: ActionFacts) -> None:
    if facts.system == FOREIGN:
        raise _wrong(name, "action", f"{given.action} is a workflow of others, and nobody approves what a watch does")
    if facts.risk is not Risk.READ:
        raise _wrong(name, "action", f"{given.action} does not only read, and nobody approves what a watch does")
    unknown = {chain[1] for chain in names(given.condition) if len(chain) > 1} - set(facts.outputs)
    if unknown:
        known = ", ".join(sorted(facts.outputs))
        raise _wrong(name, "finds", f"{given.action} gives no {', '.join(sorted(unknown))}; it gives {known}")
    if given.kind not in KINDS or given.kind == "unknown":
        kinds = ", ".join(kind for kind in KINDS if kind != "unknown")
        raise _wrong(name, "kind", f"one of {kinds}")


def _wrong(name: str, key: str, reason: str) -> SettingsError:
    return SettingsError(f"watches.{name}.{key}: {reason}.")
