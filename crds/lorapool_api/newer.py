"""Words that a newer version may add: written with an enum, read as any word.

Objects and pods of two versions stand beside each other during each upgrade. A field that is read with the enum alone
makes the older version refuse the whole object for one word in it. So such a field has the type
`Annotated[SomeEnum | Word, OPEN, ANY_WORD]`: what is known is the enum's member, what is not is a plain string. No
decision may take an unknown word for a good or a passing one.
"""

from typing import Annotated, Any, Final

from pydantic import Field, WithJsonSchema

# As metav1.Condition has it for reasons; a dash besides, for names of layouts.
_PATTERN: Final = r"^[A-Za-z]([A-Za-z0-9_,:-]*[A-Za-z0-9_])?$"
_MAX_CHARACTERS: Final = 128

Word = Annotated[str, Field(min_length=1, max_length=_MAX_CHARACTERS, pattern=_PATTERN)]
# The enum is asked first: a string would else be taken as it is.
OPEN: Final[Any] = Field(union_mode="left_to_right")
# In the definitions too: an API server with older ones would refuse each status that has a newer word.
ANY_WORD: Final = WithJsonSchema({"type": "string", "minLength": 1, "maxLength": _MAX_CHARACTERS, "pattern": _PATTERN})
