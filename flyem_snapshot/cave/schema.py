"""The schema service: which kinds of annotations there are, and what each consists of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from flyem_snapshot.cave.http import segment
from flyem_snapshot.cave.service import Service, names, record

if TYPE_CHECKING:
    from flyem_snapshot.cave.http import Transport


class SchemaClient:
    """Types of annotations and their definitions, as JSON Schema (draft 7)."""

    def __init__(self, transport: Transport, server: Callable[[], str], api_version: int | None = None) -> None:
        self._service = Service(
            transport, "schema", server, speaks=(2,), versions="schema/versions", chosen=api_version
        )

    def __repr__(self) -> str:
        return f"<SchemaClient at {self._service.server}>"

    def get_schemas(self) -> list[str]:
        """The names of all types, such as `synapse`."""
        return self._service.get(f"{self._base()}/type", names)

    def schema(self) -> list[str]:
        """The same as `get_schemas`, by its first name."""
        return self.get_schemas()

    def schema_definition(self, schema_type: str) -> dict[str, Any]:
        """The definition of a type; NotFound if there is none of that name."""
        return self._service.get(f"{self._base()}/type/{segment(schema_type)}", record)

    def schema_definition_multi(self, schema_types: Iterable[str]) -> dict[str, Any]:
        """Type -> definition, for several types."""
        wanted = ",".join(segment(schema_type) for schema_type in schema_types)
        path = f"{self._base()}/types"
        return self._service.ask(path, {}, record, params={"schema_names": wanted})

    def schema_definition_all(self) -> dict[str, Any]:
        """Type -> definition, for all types."""
        return self._service.get(f"{self._base()}/types_all", record)

    def _base(self) -> str:
        return f"schema/api/v{self._service.version}"
