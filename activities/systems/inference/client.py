"""The client of the inference logs: folders on this worker's disk, only ever read."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from activities.connecting import settings_of
from activities.errors import Rejected
from activities.ports import Vault
from activities.systems.inference.config import InferenceConfig
from activities.systems.inference.files import Line, LogFile, Reading, files_of, lines_of


def connect(config: Mapping[str, Any] | InferenceConfig, vault: Vault) -> "InferenceLogs":
    """A client; nothing is read before its first use.

    Raises:
        AuthFailed: The settings cannot be used; the message says which.
    """
    return InferenceLogs(settings_of(InferenceConfig, "inference", config))


connect_reading = connect
"""It never does anything but read."""


class InferenceLogs:
    """The log of inference requests, and the gateway's."""

    own: tuple[str, ...] = ()

    def __init__(self, config: InferenceConfig) -> None:
        self.config = config

    def ping(self) -> str:
        """Look into the folders; a sentence for ``stanch doctor``.

        Raises:
            NotFound: A folder is not there.
        """
        files = self.files()
        gateway = f", {len(self.gateway_files())} of the gateway" if self.config.gateway_logs else ""
        return f"{len(files)} files of inference requests{gateway}."

    def files(self) -> list[LogFile]:
        """Files of the inference log as they are now."""
        return files_of(Path(self.config.logs))

    def gateway_files(self) -> list[LogFile]:
        """Files of the gateway's log as they are now.

        Raises:
            Rejected: The settings name no such folder.
        """
        if self.config.gateway_logs is None:
            raise Rejected("systems.inference.gateway_logs is not set, so nothing can be compared. Nothing was read.")
        return files_of(Path(self.config.gateway_logs))

    def lines(self, files: list[LogFile], reading: Reading) -> Iterator[tuple[LogFile, Line]]:
        """One pass over files; what cannot be read is counted in ``reading``."""
        return lines_of(files, reading)
