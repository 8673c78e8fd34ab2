"""The base of the models of requests and conversations: what is not declared is refused.

Does not know any request.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from anymal.protocol.sizes import check_keys
from anymal.protocol.without_effect import MEDIUM, PART, Rows


def _not_a_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "this should be a number")
    return value


# In Python true is the number 1; in JSON it is none.
NOT_A_BOOLEAN = BeforeValidator(_not_a_boolean)
Number = Annotated[float, NOT_A_BOOLEAN]
Whole = Annotated[int, NOT_A_BOOLEAN]


class Strict(BaseModel):
    """Frozen; a key that is not declared is an error; a key set to null is absent.

    Attributes:
        without_effect: Fields that a request may hold here and that change nothing. They are taken
            out before a model is validated, so they are part of the schema alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    without_effect: ClassVar[Rows] = {}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        # The schema says of null what the validator below does, and that a part names its type.
        schema = handler.resolve_ref_schema(handler(core_schema))
        properties, required = schema.get("properties", {}), schema.setdefault("required", [])
        if "const" in properties.get("type", {}):
            required.append("type")
        for name in properties.keys() - set(required):
            properties[name] = _or_null(properties[name])
        for name, values in cls.without_effect.items():
            properties.setdefault(name, _described(values))
        schema["properties"] = properties
        schema["additionalProperties"] = {"type": "null"}
        return schema

    @model_validator(mode="before")
    @classmethod
    def _null_means_absent(cls, value: Any) -> Any:
        # Stock clients send `"tools": null`, and replay answers as `"refusal": null`.
        if isinstance(value, Mapping):
            check_keys(value, cls.model_fields)
            return {key: item for key, item in value.items() if item is not None}
        return value


class StrictMedium(Strict):
    """What a part carries beside words."""

    without_effect: ClassVar[Rows] = MEDIUM


class StrictPart(Strict):
    """A piece of a message."""

    without_effect: ClassVar[Rows] = PART


def _or_null(schema: JsonSchemaValue) -> JsonSchemaValue:
    """What a schema allows, or null."""
    if {"type": "null"} in schema.get("anyOf", ()):
        return schema
    names = ("description", "title", "default")
    about: JsonSchemaValue = {name: schema[name] for name in names if name in schema}
    value = {key: item for key, item in schema.items() if key not in about}
    return {"anyOf": [value, {"type": "null"}], **about}


def _described(values: tuple[Any, ...] | None) -> JsonSchemaValue:
    """The schema of a field without effect."""
    about = {"description": "without effect; see X-AnyMAL-Ignored"}
    return about if values is None else {"enum": [*values, None], **about}
