"""A process that pumps over a store until it is killed: ``python -m tests.systems.pump_process URL HOME``."""

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

from tests.systems.pumping import QUICK
from worker.slack.client import SlackClient
from worker.slack.pump import Pump
from worker.store import Store


def main() -> None:
    """Pump, with the address and the token of Slack in the environment."""
    store = Store(sys.argv[1], Path(sys.argv[2]))
    client = SlackClient(os.environ["TOKEN"], endpoint=os.environ["ENDPOINT"])
    pump = Pump(store, client, workspace="T1", pace=replace(QUICK, lease=1.0))
    asyncio.run(pump.keep_pumping())


if __name__ == "__main__":
    main()
