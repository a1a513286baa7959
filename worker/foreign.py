"""Workflows of others that the settings declare, as actions."""

from activities.catalog import CATALOG, Catalog
from activities.foreign import ForeignType, foreign_action
from playbooks.contract import FieldFacts
from playbooks.model_values import seconds
from worker.settings import Settings


def declared(settings: Settings) -> list[ForeignType]:
    """The types for the mode of these settings: an exercise starts only those that are declared for exercises."""
    return [
        ForeignType(
            name=name,
            workflow=given.workflow or name,
            queue=given.queue,
            risk=given.risk,
            owner=given.owner,
            title=given.title or name,
            irreversible=given.irreversible if given.risk.is_effect else None,
            namespace=given.namespace,
            encrypted=given.encrypted,
            run_seconds=seconds(given.timeout),
            inputs={key: FieldFacts(**known.model_dump()) for key, known in given.inputs.items()},
            outputs={key: FieldFacts(**known.model_dump()) for key, known in given.outputs.items()},
        )
        for name, given in settings.file.workflows.items()
        if settings.mode in given.modes
    ]


def catalog_of(settings: Settings) -> Catalog:
    """All actions, and one for each declared type."""
    kinds = declared(settings)
    return CATALOG.with_(foreign_action(kind) for kind in kinds) if kinds else CATALOG
