"""This machine's own home, for commands that work on it where no server is meant."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.settings import Settings
    from worker.store import Store


@contextmanager
def own_home() -> "Iterator[tuple[Settings, Store]]":
    """The settings and the open store.

    Raises:
        SettingsError: the settings cannot be used.
    """
    from worker.settings import Settings
    from worker.start_base import open_store

    settings = Settings.load(os.environ)
    with closing(open_store(settings)) as store:
        yield settings, store
