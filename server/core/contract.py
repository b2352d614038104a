"""Values of the contract's paths, taken as pydantic 1 took them: programs written for chat2llm send them so."""

from collections.abc import Callable

from pydantic import AfterValidator, BaseModel, ConfigDict


class ContractBody(BaseModel):
    """The base of every body on a contract path: `"3"` and `3.0` are 3, `"true"` and 1 are true, 123 is `"123"`.

    What is no field is passed over. Bodies of other paths say what they mean.
    """

    model_config = ConfigDict(coerce_numbers_to_str=True, use_attribute_docstrings=True)


def at_most(limit: float) -> AfterValidator:
    """More than `limit` means as much as there is to have."""
    lowered: Callable[[float], float] = lambda value: min(value, limit)  # noqa: E731
    return AfterValidator(lowered)
