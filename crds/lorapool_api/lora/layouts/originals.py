"""The modules of a base that a name in an adapter file can mean: the same name is another module in another family."""

import re
from functools import lru_cache
from typing import Final

from lorapool_api.lora.layouts.hunyuan import hunyuan_readings
from lorapool_api.lora.layouts.mmdit import Fused, mmdit_readings
from lorapool_api.lora.layouts.single_stream import single_stream_readings

_OF_A_BLOCK: Final = re.compile(r"_\d{1,4}_")


# A file has some hundred modules, and those of a base are the same in all of its files.
@lru_cache(maxsize=1 << 13)
def readings(module: str) -> tuple[Fused, ...]:
    """All that a module, `_` for `.`, can be in diffusers' names, the likeliest first; the base says which it is.

    A name that is of no original layout is itself. So may be one that stands outside of the blocks: `img_in` is Flux's,
    and diffusers' own of Qwen-Image.
    """
    own, hunyuan = Fused((module,)), hunyuan_readings(module)
    found = (*mmdit_readings(module), *single_stream_readings(module))
    if not found and hunyuan:
        # Nobody else has these names: they tell the family, whatever the base is.
        return (own, *hunyuan)
    found = tuple(dict.fromkeys((*found, *hunyuan)))
    return found if own in found or (found and _OF_A_BLOCK.search(module)) else (*found, own)


def is_original(module: str) -> bool:
    """Whether a module is called so in the original code of a transformer, and not by diffusers."""
    return readings(module)[0] != Fused((module,)) or bool(hunyuan_readings(module))
