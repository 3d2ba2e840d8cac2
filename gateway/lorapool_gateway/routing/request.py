"""A request for images: as its client made it, and with what its names stand for."""

from dataclasses import dataclass, replace

from lorapool_api.rules.undeclared import undeclared_repo
from lorapool_api.wire.request import GenerateRequest
from lorapool_api.wire.weighting.scale import Weighting
from lorapool_gateway.callers.caller import EVERYTHING, Scope
from lorapool_gateway.callers.terms import NO_TERMS, Terms


@dataclass(frozen=True)
class NamedAdapter:
    """An adapter as a request names it; without a scale its own applies, without a mask it counts everywhere.

    Attributes:
        mask: a picture in base64.
    """

    name: str
    scale: float | Weighting | None = None
    mask: str | None = None


@dataclass(frozen=True)
class ImageRequest:
    """What a client asks for, whatever its dialect.

    Attributes:
        generate: the request to a pod, without adapters.
        model: a base or an adapter; an adapter is part of the stack whatever `loras` says of others.
        loras: adapters to add; one that `model` names already sets that one's scale.
        prompt_loras: adapters to add that the prompt names, which the pool must allow.
        warnings: what was said and has no effect.
        content_credentials: whether the pictures shall be signed; None: as the pool says.
    """

    generate: GenerateRequest
    model: str | None = None
    loras: tuple[NamedAdapter, ...] = ()
    prompt_loras: tuple[NamedAdapter, ...] = ()
    warnings: tuple[str, ...] = ()
    content_credentials: bool | None = None


@dataclass(frozen=True)
class ResolvedRequest:
    """A request to the pods of one pool; of its adapters those have a sha256 that are pinned to it.

    Attributes:
        other_pools: to be asked in turn where this one holds another base than the card of an undeclared adapter names.
        draw: decides whether the request is among those that get a canary; None: it is not.
        scope: what the caller's key is for.
        terms: how urgent it is, and until when anybody wants it.
        passes_on: whether its client takes an image as it is, which may still be on its way when the answer begins.
        may_displace: whether a pod that is full may be asked: its caller has no more under way than others.
        content_credentials: as `ImageRequest` has it.
    """

    pool: str
    generate: GenerateRequest
    other_pools: tuple[str, ...] = ()
    draw: bytes | None = None
    scope: Scope = EVERYTHING
    terms: Terms = NO_TERMS
    may_displace: bool = False
    passes_on: bool = False
    content_credentials: bool | None = None

    @property
    def adapters(self) -> tuple[str, ...]:
        """Keys of the stack."""
        return tuple([use.key for use in self.generate.adapters])

    def drawn(self, caller: bytes, chance: bytes) -> "ResolvedRequest":
        """The request with its draw: the same for the same seed, else for the same caller.

        Args:
            caller: whose key it is; empty where everyone may ask.
            chance: for a request with neither.
        """
        seed = self.generate.seed
        return replace(self, draw=(caller or chance) if seed is None else f"seed {seed}".encode())

    @property
    def undeclared(self) -> tuple[str, ...]:
        """Repositories of the stack that no LoraAdapter declares."""
        return tuple([repo for key in self.adapters if (repo := undeclared_repo(key)) is not None])
