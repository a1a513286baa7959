"""What settings lead to: secrets, payload keys, the tests' stop points."""

from activities.stops import StopPoints
from worker.codec import KeyRing
from worker.secrets import Secrets
from worker.settings import TEST_HOLD, Settings, SettingsError


def secrets_of(settings: Settings) -> Secrets:
    """Resolver of the settings' credential references."""
    return Secrets(settings.environment, settings.base)


def key_ring(settings: Settings) -> KeyRing:
    """The payload keys: by reference, else the file of the home, made at first use."""
    if settings.file.payload_keys:
        return KeyRing.parse(secrets_of(settings).get(settings.file.payload_keys))
    return KeyRing.at(settings.home / "keys" / "payload.json")


def stop_points(settings: Settings) -> StopPoints | None:
    """The test's stop points, if any.

    Raises:
        SettingsError: this is a live worker, or they cannot be read.
    """
    settings.refuse_test_switches()
    if not settings.test_hold:
        return None
    try:
        return StopPoints.parse(settings.test_hold, settings.test_hold_dir or settings.home / "test-hold")
    except ValueError as error:
        raise SettingsError(f"{TEST_HOLD}: {error}.") from None
