"""How a pool serves requests."""

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ConfigDict, Field

from lorapool_api.kinds.checks.safety import Safety
from lorapool_api.kinds.images.provenance import ProvenanceField
from lorapool_api.kinds.images.urls import ImageUrlsField
from lorapool_api.kinds.speed.rounding import TorchOptions
from lorapool_api.kinds.speed.step_cache import StepCache
from lorapool_api.newer import ANY_WORD
from lorapool_api.schema import ApiModel, Rule, rules


class ApplyMode(StrEnum):
    """How adapters are applied to the base."""

    AUTO = "Auto"
    UNMERGED = "Unmerged"
    MERGED = "Merged"


class CompileMode(StrEnum):
    """Whether the denoiser is compiled, and how long its kernels are looked for."""

    OFF = "Off"
    DEFAULT = "Default"
    MAX_AUTOTUNE = "MaxAutotune"


class SchedulerName(StrEnum):
    """Samplers that a request or a pool may name."""

    EULER_A = "euler-a"
    EULER = "euler"
    DDIM = "ddim"
    DPMPP_2M = "dpmpp-2m"
    DPMPP_2M_KARRAS = "dpmpp-2m-karras"
    HEUN = "heun"
    LCM = "lcm"
    PNDM = "pndm"
    TCD = "tcd"
    UNIPC = "unipc"


class PromptLoras(StrEnum):
    """What becomes of `<lora:name:0.8>` in a prompt."""

    REFUSE = "Refuse"
    ALLOW = "Allow"


class PromptSyntax(StrEnum):
    """How the words of a prompt are read."""

    PLAIN = "Plain"
    COMPEL = "Compel"
    A1111 = "A1111"


class TimestepSpacing(StrEnum):
    """How the steps of a sampler are spread over the noise levels that the base was trained on.

    The names are those of diffusers; table 2 of arXiv:2305.08891 has what they mean.
    """

    LEADING = "leading"
    LINSPACE = "linspace"
    TRAILING = "trailing"


# An older pod has defaults of its own where nothing is said; it does not know null.
def _is_none(value: object) -> bool:
    return value is None


_BY_FAMILY: Final = "Default: what suits the family of the base (docs/models.md)."


class ServingDefaults(ApiModel):
    """What a request gets that does not say."""

    steps: int | None = Field(
        default=None, description=f"Inference steps. {_BY_FAMILY}", ge=1, le=1000, exclude_if=_is_none
    )
    guidance_scale: float | None = Field(
        default=None, description=f"Classifier-free guidance. {_BY_FAMILY}", ge=0, le=100, exclude_if=_is_none
    )
    width: int | None = Field(
        default=None, description=f"Width in pixels. {_BY_FAMILY}", ge=8, le=8192, multiple_of=8, exclude_if=_is_none
    )
    height: int | None = Field(
        default=None, description=f"Height in pixels. {_BY_FAMILY}", ge=8, le=8192, multiple_of=8, exclude_if=_is_none
    )
    scheduler: SchedulerName | None = Field(
        default=None, description="Sampler. Default: euler-a for SD 1.x, 2.x and SDXL, else the base's own."
    )
    timestep_spacing: TimestepSpacing | None = Field(
        default=None,
        description="How the steps are spread over the noise levels. Default: as the base's own sampler does. Adapters "
        "for few steps (Lightning, Hyper, Turbo) were trained for trailing.",
    )


class AdapterDefaults(ApiModel):
    """What a request with an adapter gets that does not say: it goes before the pool's defaults."""

    steps: int | None = Field(default=None, description="Inference steps.", ge=1, le=1000)
    guidance_scale: float | None = Field(
        default=None, description="Classifier-free guidance; up to 1 there is none.", ge=0, le=100
    )
    scheduler: SchedulerName | None = Field(default=None, description="Sampler.")
    timestep_spacing: TimestepSpacing | None = Field(
        default=None, description="How the steps are spread over the noise levels."
    )
    negative_prompt: str | None = Field(
        default=None, description="Negative prompt; one that is empty is said too.", max_length=2000
    )


def _or_none(words: type[StrEnum]) -> Any:
    return BeforeValidator(lambda value: value if isinstance(value, str) and value in set(words) else None)


class FoundDefaults(AdapterDefaults):
    """The same as another part, perhaps a newer one, found or passed it on: a word that is not known says nothing."""

    scheduler: Annotated[SchedulerName | None, _or_none(SchedulerName), ANY_WORD] = Field(
        default=None, description="Sampler."
    )
    timestep_spacing: Annotated[TimestepSpacing | None, _or_none(TimestepSpacing), ANY_WORD] = Field(
        default=None, description="How the steps are spread over the noise levels."
    )


class ServingLimits(ApiModel):
    """What a request may ask for."""

    steps: int = Field(default=100, description="Most inference steps.", ge=1, le=1000)
    pixels: int = Field(default=2_359_296, description="Most pixels of one image (width times height).", ge=64)
    images: int = Field(default=4, description="Most images of one request.", ge=1, le=64)
    side: int = Field(
        default=8192,
        description="Most pixels of one side: a picture that is far longer than wide takes far more time and memory "
        "than its pixels tell.",
        ge=8,
        le=65_536,
    )


class Serving(ApiModel):
    """How requests are served."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "!has(self.defaults.steps) || self.defaults.steps <= self.limits.steps",
                "defaults.steps must not exceed limits.steps",
            ),
            Rule(
                "!has(self.defaults.width) || !has(self.defaults.height) || "
                "self.defaults.width * self.defaults.height <= self.limits.pixels",
                "defaults.width times defaults.height must not exceed limits.pixels",
            ),
            Rule(
                "(!has(self.defaults.width) || self.defaults.width <= self.limits.side) && "
                "(!has(self.defaults.height) || self.defaults.height <= self.limits.side)",
                "defaults.width and defaults.height must not exceed limits.side",
            ),
            Rule("!has(self.stepCache) || self.compile == 'Off'", "stepCache goes with compile: Off only"),
        )
    )

    max_pending: int = Field(
        default=64,
        description="Requests that may wait in one pod; more are refused with 429.",
        ge=1,
        le=10_000,
    )
    max_batch: int = Field(
        default=1,
        description="Most pictures in one forward, of requests with the same size, steps, guidance and sampler, "
        "whatever their adapters. A pod measures whether that is faster, else it makes one after the other. With 1 "
        "the same request always gives the same bytes; in a batch kernels may round differently.",
        ge=1,
        le=32,
    )
    defaults: ServingDefaults = Field(default=ServingDefaults(), description="What a request gets that does not say.")
    limits: ServingLimits = Field(default=ServingLimits(), description="What a request may ask for.")
    mode: ApplyMode = Field(
        default=ApplyMode.AUTO,
        description="How adapters are applied: Unmerged adds each low-rank pair to its module's output at every step, "
        "Merged computes the changed weights once per switch into memory of their own, Auto chooses for each run by "
        "what a pod measured on its device. The two differ in rounding only. LoHa and LoKr are always merged.",
    )
    compile: CompileMode = Field(
        default=CompileMode.OFF,
        description="Whether pods compile the denoiser (torch.compile). Off: it runs eagerly. Default: one graph for "
        "each size, in the background while requests are served eagerly; a switch of adapters writes the weights that "
        "the graph reads, and never compiles again. MaxAutotune: kernels are chosen by timing, which takes minutes. It "
        "takes memory for the denoiser's adapted weights once more.",
    )
    prompt_loras: PromptLoras = Field(
        default=PromptLoras.REFUSE,
        description="What becomes of `<lora:name:0.8>` in a prompt. Refuse: the request is refused, adapters are named "
        "in `loras` or by the header. Allow: the adapter is used with that scale, and the tag taken out of the prompt.",
    )
    prompt_syntax: PromptSyntax = Field(
        default=PromptSyntax.PLAIN,
        description="How prompts are read whose request does not say. Plain: each character is text. Compel: "
        '`(words)1.3` and `word++` weigh words, `("a", "b").blend(0.7, 0.3)` mixes prompts and `.and()` joins them, '
        "as the library of that name does it. A1111: `(words:1.3)`, `[words]` and `BREAK` of that WebUI. Both are for "
        "bases of SD 1.x, SD 2.x and SDXL.",
    )
    image_urls: ImageUrlsField = None
    provenance: ProvenanceField = None
    deterministic: bool = Field(
        default=True,
        description="Whether the same request gives the same bytes on the same kind of device. With false, a GPU may "
        "choose its convolutions by timing: somewhat faster, and pictures of the same seed may differ in rounding.",
    )
    torch: TorchOptions | None = Field(
        default=None,
        description="What torch may round for speed. Default: nothing; `deterministic: false` lets cuDNN choose "
        "convolutions by timing.",
        exclude_if=_is_none,
    )
    step_cache: StepCache | None = Field(
        default=None,
        description="What of a step is left out where the one before was alike; the reply says that the picture is "
        "not exact. For Flux.1, Qwen-Image, its Edit and CogView4. Each picture runs alone, whatever maxBatch. "
        "Default: nothing.",
        exclude_if=_is_none,
    )
    safety: Safety | None = Field(
        default=None,
        description="Who looks at pictures before they leave. Previews, which nobody looks at, are left out then. "
        "Default: nobody.",
        exclude_if=_is_none,
    )
    request_timeout_seconds: int = Field(
        default=300,
        description="Longest time from request to image, waiting for a pod included.",
        ge=1,
        le=3600,
    )
