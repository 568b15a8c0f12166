"""
`GET /v1/models` and `/v1/models/{id}`: our models, their aliases, and `auto`.

In OpenAI's form, https://platform.openai.com/docs/api-reference/models/list, or in Anthropic's, for clients that send
`anthropic-version`: https://docs.anthropic.com/en/api/models-list. Wildcards stand for models nobody can list.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from attrs import frozen

from sidecar.config.catalog import Catalog
from sidecar.config.models import Config
from sidecar.errors import ModelNotFound
from sidecar.wire.answer import encode

PATH = "/v1/models"
AUTO = "auto"
"""The name clients send to say: choose for me."""


@frozen
class ModelList:
    names: tuple[str, ...]
    """Everything a client may name, in the order of the file; aliases after models, `auto` last."""
    catalog: Catalog

    @classmethod
    def of(cls, config: Config, catalog: Catalog) -> "ModelList":
        return cls(tuple(dict.fromkeys((*catalog.models, *config.aliases, AUTO))), catalog)

    def covers(self, path: str) -> bool:
        """Whether a path is ours to answer."""
        return path == PATH or path.startswith(f"{PATH}/")

    def answer(self, path: str, headers: Mapping[str, str]) -> bytes:
        """The body for a path of ours. Raises ModelNotFound for a model that nobody here goes by."""
        one = _openai if "anthropic-version" not in headers else _anthropic
        if path == PATH:
            entries = [one(name, self._owner(name)) for name in self.names]
            return encode(_openai_list(entries) if one is _openai else _anthropic_list(entries))
        name = unquote(path.removeprefix(f"{PATH}/"))
        if name not in self.names and self.catalog.resolve(name) is None:
            raise ModelNotFound(f"There is no model '{name[:100]}'.", param="model")
        return encode(one(name, self._owner(name)))

    def _owner(self, name: str) -> str:
        model = self.catalog.resolve(name)
        return model.partition("/")[0] if model else "llm-sidecar"


def _openai(name: str, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


def _openai_list(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "list", "data": entries}


def _anthropic(name: str, _owner: str) -> dict[str, Any]:
    told = {"display_name": name, "created_at": "1970-01-01T00:00:00Z", "lifecycle": "active"}
    return {"type": "model", "id": name, **told}


def _anthropic_list(entries: list[dict[str, Any]]) -> dict[str, Any]:
    first, last = (entries[0]["id"], entries[-1]["id"]) if entries else (None, None)
    return {"data": entries, "has_more": False, "first_id": first, "last_id": last}
