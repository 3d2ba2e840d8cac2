"""What a picture shall say of itself, of pool and request together: pure. Gateway and pod ask the same functions."""

from typing import Final

from lorapool_api.kinds.images.provenance import ContentCredentials, Provenance, RecipeText

_USUAL: Final = Provenance()


class NotAllowedHere(Exception):
    """The request asks for what the pool does not allow.

    Attributes:
        field: the field of the request that does.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def writes_recipe(pool: Provenance | None, asked: bool | None) -> bool:
    """Whether the files hold the recipe; `asked`: what the request says of it. Raises: NotAllowedHere."""
    says = (pool or _USUAL).recipe
    if asked and says is RecipeText.REFUSE:
        raise NotAllowedHere("metadata", "this pool writes no recipes into pictures: leave metadata out")
    return says is RecipeText.WRITE if asked is None else asked


def signs(pool: Provenance | None, asked: bool | None) -> bool:
    """Whether the pictures are signed; `asked`: what the request says of it. Raises: NotAllowedHere."""
    signs_all = (pool or _USUAL).content_credentials is ContentCredentials.SIGN
    if signs_all and asked is False:
        message = "this pool signs every picture: leave content_credentials out"
        raise NotAllowedHere("content_credentials", message)
    return signs_all or bool(asked)
