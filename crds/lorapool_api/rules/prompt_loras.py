"""Adapters named within a prompt, as tools around Stable Diffusion write them: `<lora:name:0.8>`: pure."""

import re

# One that is not closed counts too, or it would be drawn as text.
_TAG = re.compile(r"<\s*(?:lora|lyco)\s*:([^<>]*)>?", re.IGNORECASE)


def split_prompt(prompt: str) -> tuple[str, tuple[str, ...]]:
    """The prompt without its tags, and what each tag says: `name` or `name:scale`."""
    if "<" not in prompt:
        return prompt, ()
    tags = tuple(tag.strip() for tag in _TAG.findall(prompt))
    return (_TAG.sub("", prompt).strip(), tags) if tags else (prompt, ())
