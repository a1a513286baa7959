"""The store of an installation."""

from worker.store.store import Store

__all__ = ["Store"]
