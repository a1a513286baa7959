"""The range's model as a custom runtime of MLServer 1.7.1; copied beside ``model-settings.json``, never imported here.

MLServer runs it in its own environment, where Stanch is not installed, so it finds ``replica.py`` and ``churn.py``
beside itself. ``parameters.extra`` of the model's settings is the ``Place`` of the replica.

The runtime does not set MLServer's own notion of the model's version: MLServer would then keep answering with the
highest number that it ever loaded, and a rollback would change nothing.
"""

import asyncio

import churn  # type: ignore[import-not-found]
import replica  # type: ignore[import-not-found]
from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.errors import InferenceError, ModelNotFound  # type: ignore[import-not-found]
from mlserver.settings import ModelSettings  # type: ignore[import-not-found]
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found]


class RegistryModel(MLModel):  # type: ignore[misc]
    """Serves what an alias of the registry named when it was loaded."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        self._replica = replica.Replica(replica.Place(**settings.parameters.extra), churn.load)

    async def load(self) -> bool:
        """Ask the registry, check every digest, ask for admission; whatever fails leaves the old one serving."""
        await asyncio.to_thread(self._replica.load)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer and log one request."""
        headers = dict(payload.parameters.headers or {}) if payload.parameters else {}
        request = payload.model_dump(mode="json")
        try:
            answer = self._replica.infer(request, {name.lower(): value for name, value in headers.items()})
        except replica.BadRequest as error:
            raise InferenceError(str(error)) from None
        except LookupError:
            raise ModelNotFound(self.name) from None
        return InferenceResponse.model_validate(answer)
