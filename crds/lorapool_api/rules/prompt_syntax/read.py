"""Reading a prompt by the syntax that it is written in: pure."""

from collections.abc import Callable, Mapping
from typing import Final

from lorapool_api.kinds.serving import PromptSyntax
from lorapool_api.rules.prompt_syntax.a1111 import read_a1111
from lorapool_api.rules.prompt_syntax.compel import read_compel
from lorapool_api.rules.prompt_syntax.parts import WeightedPrompt, WeightedText

_READERS: Final[Mapping[PromptSyntax, Callable[[str], WeightedPrompt]]] = {
    PromptSyntax.COMPEL: read_compel,
    PromptSyntax.A1111: read_a1111,
}


def read_prompt(syntax: PromptSyntax, text: str) -> WeightedPrompt:
    """What the prompt says; all of it one text where it is plain. Raises: PromptSyntaxError."""
    read = _READERS.get(syntax)
    return read(text) if read else WeightedPrompt(((WeightedText(text),),), (1.0,))
