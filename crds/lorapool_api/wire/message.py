"""What all messages between the parts have in common."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict

# Characters of a sentence for people; anything longer is a traceback or hostile.
MAX_MESSAGE: Final = 1000


class Wire(BaseModel):
    """A frozen message. Unknown fields are ignored: the other side may be newer."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def _cut(text: Any) -> Any:
    return f"{text[: MAX_MESSAGE - 1]}…" if isinstance(text, str) and len(text) > MAX_MESSAGE else text


# A sentence for people, cut where it is received: whoever sent it may be broken or hostile.
Message = Annotated[str, BeforeValidator(_cut)]
