"""What a settings model is: a frozen pydantic section whose fields say everything the tools derive from them.

The JSON Schema, the templates, the settings reference, the fallbacks, the paths and the cache keys all come
from these fields and from nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from flyem_snapshot.errors import Problem


@dataclass(frozen=True)
class Traits:
    """What a setting is beyond its type, default, bounds and description; see `setting()`.

    It hangs on the pydantic field as its `json_schema_extra`, which pydantic calls with the field's schema.
    """

    affects_result: bool = True
    inherits: str = ""
    input_file: bool | str = False
    directory: bool = False
    one_of: str = ""
    examples: tuple[Any, ...] = ()
    own_file: bool = False
    inlined: tuple[str, ...] = ()
    may_be_missing: bool = False

    def __call__(self, schema: dict[str, Any]) -> None:
        """Tell a reader of the JSON Schema about the fallback and the examples; a file's name may not be empty."""
        if schema.pop("format", "") == "path":
            schema["minLength"] = 1
        if self.own_file:
            schema["anyOf"] = [{"type": ["string", "null"]}, *(e for e in schema["anyOf"] if "enum" not in e)]
        if self.inherits:
            schema["description"] += f" If not set: {self.fallback}."
        if self.examples:
            schema["examples"] = list(self.examples)

    @property
    def fallback(self) -> str:
        """In words, what an unset value is replaced with."""
        if self.inherits.endswith(".*"):
            return f"all of {self.inherits.removesuffix('.*')}"
        return f"the value of {self.inherits}"


def setting(
    default: Any = ...,
    *,
    doc: str,
    affects_result: bool = True,
    inherits: str = "",
    input_file: bool | str = False,
    directory: bool = False,
    one_of: str = "",
    examples: tuple[Any, ...] = (),
    own_file: bool = False,
    inlined: tuple[str, ...] = (),
    may_be_missing: bool = False,
    **bounds: Any,
) -> Any:
    """One setting: a pydantic field with a description that a biologist understands.

    - `affects_result=False` keeps the setting out of cache keys.
    - `inherits` is the address whose value is taken when this one is unset: `job-settings.processes`, a
      sibling (`source-column`), or the names in a free-key section (`inputs.rois.roi-sets.*`).
    - `input_file=True` marks a `Path` to a file: relative to the config file, `{syndir}`, `~` and environment
      variables expand, and the file's content (not its path) goes into cache keys.  A suffix such as
      `".json"` marks text that is a path only if it ends so.  A setting of type `Path | str` is a file only if it is a
      `Path`.  With `may_be_missing` the stage does without a file that is not there.
    - `directory=True` marks a `Path` to a directory: made absolute likewise, never hashed.
    - `one_of` is the address that lists the names this setting may take.
    - `examples` stand in the schema; a free-key section shows its first example in the template.
    - `own_file` marks a section that may stand in a YAML file of its own, named in its place; relative paths in that
      file are relative to it.
    - `inlined` lists suffixes: a text within the value, however deep, that has one of them names a file whose content
      takes its place.  Both kinds of file are read when the configuration is loaded: see `config/include.py`.
    - `bounds` are pydantic's: `ge`, `le`, `pattern`, `min_length`, ...
    """
    traits = Traits(
        affects_result, inherits, input_file, directory, one_of, examples, own_file, inlined, may_be_missing
    )
    return Field(default, description=" ".join(doc.split()), json_schema_extra=traits, **bounds)


def traits_of(field: FieldInfo) -> Traits:
    """The traits given to `setting()`; those of a field declared otherwise are the defaults."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, Traits) else Traits()


def kebab(name: str) -> str:
    """The key in the config file of a field: `roi_set_names` -> `roi-set-names`."""
    return name.replace("_", "-")


def is_optional(field: FieldInfo) -> bool:
    """Whether the field may be unset, that is, whether its type is `X | None`."""
    return get_origin(field.annotation) in (Union, UnionType) and NoneType in get_args(field.annotation)


class Section(BaseModel):
    """A section of the configuration: frozen, no unknown keys, kebab-case in the file."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=kebab,
        validate_by_name=True,
        validate_by_alias=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    @classmethod
    def key_of(cls, name: str) -> str:
        """The key in the file of a field: its alias, which is in kebab-case unless the section says otherwise."""
        return cls.model_fields[name].alias or name

    @model_validator(mode="before")
    @classmethod
    def _read_unset_values(cls, data: Any) -> Any:
        """Read '' as "not set" where a setting may be unset, and a key without content as an empty section.

        Existing files write '' for unset text; a section of which every line is a comment is null in YAML.
        """
        if data is None:
            return {}
        if not isinstance(data, Mapping):
            return data
        fields = {cls.key_of(name): field for name, field in cls.model_fields.items()} | cls.model_fields
        kept: dict[Any, Any] = {}
        for key, value in data.items():
            field = fields.get(key) if isinstance(key, str) else None
            if field is not None and value == "" and is_optional(field):
                kept[key] = None
            elif field is None or value is not None or not isinstance(field.default, Mapping | tuple):
                kept[key] = value
        return kept

    def problems(self) -> Iterator[Problem]:
        """What is wrong within this section whatever stands elsewhere; paths are relative to the section.

        Overridden by sections with rules that a type cannot say.  Nested sections are asked separately.
        """
        yield from ()


class ListedSection(Section):
    """A section of which the configuration holds a list; its stage is given a tuple of them.

    The list as a whole is described by `list_doc`, and `list_example` shows what it may hold.
    """

    list_doc: ClassVar[str]
    list_example: ClassVar[list[dict[str, Any]]]
