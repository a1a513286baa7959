"""The model registry of the simulated server: models, versions, aliases, tags."""

import re
from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from activities.systems.mlflow.peer.state import Model, Registry, Version
from activities.systems.mlflow.peer.wire import Call, Refusal, answer, gone, invalid, page, pairs

FILTER = re.compile(r"""^\s*name\s*=\s*(?:'([^']*)'|"([^"]*)")\s*$""")
MOST = 200_000
RESERVED = re.compile(r"^[vV]\d+$")


class Models:
    """Routes under ``registered-models/`` and ``model-versions/``."""

    def __init__(self, state: Registry) -> None:
        self._state = state

    def routes(self) -> dict[tuple[str, str], Callable[[Call], Response]]:
        """Method and name to function."""
        return {
            ("POST", "registered-models/create"): self.create_model,
            ("GET", "registered-models/get"): self.get_model,
            ("GET", "registered-models/search"): self.search_models,
            ("POST", "registered-models/set-tag"): self.set_model_tag,
            ("DELETE", "registered-models/delete-tag"): self.delete_model_tag,
            ("GET", "registered-models/alias"): self.get_alias,
            ("POST", "registered-models/alias"): self.set_alias,
            ("DELETE", "registered-models/alias"): self.delete_alias,
            ("POST", "model-versions/create"): self.create_version,
            ("GET", "model-versions/get"): self.get_version,
            ("GET", "model-versions/search"): self.search_versions,
            ("GET", "model-versions/get-download-uri"): self.get_place,
            ("DELETE", "model-versions/delete"): self.delete_version,
            ("POST", "model-versions/set-tag"): self.set_version_tag,
            ("DELETE", "model-versions/delete-tag"): self.delete_version_tag,
        }

    def create_model(self, call: Call) -> Response:
        """A new model."""
        name = call.need("name")
        if name in self._state.models:
            raise Refusal("RESOURCE_ALREADY_EXISTS", f"Registered Model (name={name}) already exists.")
        if re.search(r"[/:]", name):
            raise invalid(f"Invalid model name '{name}'. Names cannot contain '/' or ':'.")
        now = self._state.now()
        model = Model(name, now, now, str(call.given.get("description") or ""), _tags(call))
        self._state.models[name] = model
        return answer({"registered_model": self._model(model, whole=False)})

    def get_model(self, call: Call) -> Response:
        """A model, with its aliases and newest version."""
        return answer({"registered_model": self._model(self._find(call))})

    def search_models(self, call: Call) -> Response:
        """Models by name."""
        rows = sorted(self._state.models.values(), key=lambda model: model.name)
        wanted = _filtered(call)
        if wanted is not None:
            rows = [model for model in rows if model.name == wanted]
        some, following = page(rows, call, 1000, 100)
        return answer({"registered_models": [self._model(model) for model in some], **following})

    def set_model_tag(self, call: Call) -> Response:
        """Set a tag of a model."""
        self._find(call).tags[call.need("key")] = str(call.given.get("value") or "")
        return answer({})

    def delete_model_tag(self, call: Call) -> Response:
        """Remove a tag of a model, there or not."""
        self._find(call).tags.pop(call.need("key"), None)
        return answer({})

    def get_alias(self, call: Call) -> Response:
        """The version that an alias points to."""
        model, alias = self._find(call), call.need("alias")
        if alias not in model.aliases:
            raise invalid(f"Registered model alias {alias} not found.")
        return answer({"model_version": _version(model, model.versions[model.aliases[alias]])})

    def set_alias(self, call: Call) -> Response:
        """Point an alias to a version."""
        alias = call.need("alias")
        if alias.lower() == "latest":
            raise invalid("'latest' alias name (case insensitive) is reserved.")
        if RESERVED.match(alias):
            raise invalid(f"Version alias name '{alias}' is reserved.")
        model, version = self._find_version(call)
        model.aliases[alias] = version.number
        return answer({})

    def delete_alias(self, call: Call) -> Response:
        """Remove an alias, there or not."""
        alias = call.need("alias")
        self._find(call).aliases.pop(alias, None)
        return answer({})

    def create_version(self, call: Call) -> Response:
        """A new version; where it lies must be a place of the run that it names."""
        source, run = call.need("source"), str(call.given.get("run_id") or "")
        if source.startswith("mlflow-artifacts:") and run not in source.split("/"):
            raise invalid(
                f"Invalid model version source: '{source}'. The run_id request parameter must identify the resource "
                "that contains the source."
            )
        model, now = self._find(call), self._state.now()
        number = next(model.numbers)
        version = Version(number, source, now, now, run, str(call.given.get("description") or ""), _tags(call))
        model.versions[number] = version
        model.updated = now
        return answer({"model_version": _version(model, version)})

    def get_version(self, call: Call) -> Response:
        """A version."""
        return answer({"model_version": _version(*self._find_version(call))})

    def search_versions(self, call: Call) -> Response:
        """Versions of one model, or of all; newest first unless asked otherwise."""
        wanted = _filtered(call)
        found = [
            (model, version)
            for model in self._state.models.values()
            for version in model.versions.values()
            if wanted in (None, model.name)
        ]
        order = str(call.given.get("order_by") or "")
        if order not in ("", "version_number ASC", "version_number DESC"):
            raise invalid(f"Invalid order_by clause '{order}'")
        found.sort(key=lambda pair: pair[1].number, reverse=order != "version_number ASC")
        some, following = page(found, call, MOST, 10_000)
        return answer({"model_versions": [_version(*pair) for pair in some], **following})

    def get_place(self, call: Call) -> Response:
        """Where a version's files lie."""
        return answer({"artifact_uri": self._find_version(call)[1].source})

    def delete_version(self, call: Call) -> Response:
        """Remove a version, and the aliases that point to it."""
        model, version = self._find_version(call)
        del model.versions[version.number]
        model.aliases = {alias: number for alias, number in model.aliases.items() if number != version.number}
        return answer({})

    def set_version_tag(self, call: Call) -> Response:
        """Set a tag of a version."""
        key = call.need("key")
        self._find_version(call)[1].tags[key] = str(call.given.get("value") or "")
        return answer({})

    def delete_version_tag(self, call: Call) -> Response:
        """Remove a tag of a version, there or not."""
        key = call.need("key")
        self._find_version(call)[1].tags.pop(key, None)
        return answer({})

    def _find(self, call: Call) -> Model:
        name = call.need("name")
        found = self._state.models.get(name)
        return found if found is not None else gone(f"Registered Model with name={name} not found")

    def _find_version(self, call: Call) -> tuple[Model, Version]:
        name, text = call.need("name"), call.need("version")
        if not text.isdigit():
            raise invalid(f"Parameter 'version' must be an integer, got '{text}'.")
        model = self._state.models.get(name)
        version = model.versions.get(int(text)) if model else None
        if model is None or version is None:
            gone(f"Model Version (name={name}, version={text}) not found")
        return model, version

    def _model(self, model: Model, *, whole: bool = True) -> dict[str, Any]:
        newest = max(model.versions, default=0)
        return {
            "name": model.name,
            "creation_timestamp": model.created,
            "last_updated_timestamp": model.updated,
            "description": model.description,
            "latest_versions": [_version(model, model.versions[newest], False)] if whole and newest else [],
            "tags": pairs(model.tags),
            "aliases": [
                {"alias": alias, "version": str(number)} for alias, number in sorted(model.aliases.items()) if whole
            ],
        }


def _version(model: Model, version: Version, aliases: bool = True) -> dict[str, Any]:
    pointing = sorted(alias for alias, number in model.aliases.items() if number == version.number)
    return {
        "name": model.name,
        "version": str(version.number),
        "creation_timestamp": version.created,
        "last_updated_timestamp": version.updated,
        "current_stage": "None",
        "description": version.description,
        "source": version.source,
        "run_id": version.run,
        "status": "READY",
        "tags": pairs(version.tags),
        "run_link": "",
        "aliases": pointing if aliases else [],
    }


def _tags(call: Call) -> dict[str, str]:
    return {str(tag["key"]): str(tag.get("value") or "") for tag in call.given.get("tags") or ()}


def _filtered(call: Call) -> str | None:
    text = str(call.given.get("filter") or "")
    if not text:
        return None
    found = FILTER.match(text)
    if found is None:
        raise invalid(f"Invalid clause(s) in filter string: {text}")
    return found.group(1) if found.group(1) is not None else found.group(2)
