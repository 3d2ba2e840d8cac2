"""Whether an adapter fits a base, judged by the modules that the base reports."""

from collections.abc import Iterable, Mapping
from math import prod

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import TRANSFORMER, UNET, AdapterFacts, check_once
from lorapool_api.lora.families import TEXT_WIDTHS
from lorapool_api.lora.header import FactsError
from lorapool_api.lora.layouts.keys import flat_name
from lorapool_api.lora.modules import TargetFacts
from lorapool_api.lora.networks import TURNED_INPUTS

Modules = Mapping[str, Mapping[str, tuple[int, ...]]]


def check_rank(facts: AdapterFacts, max_rank: int) -> None:
    """Raises: FactsError (`RankTooHigh`) when a module's rank exceeds the pool's limit."""
    if facts.rank > max_rank:
        raise FactsError(Reason.RANK_TOO_HIGH, f"rank {facts.rank}; the pool takes at most {max_rank}")


def check_fits(facts: AdapterFacts, modules: Modules) -> None:
    """Every module that the file names must be in the base, with that shape.

    Args:
        facts: what the file's header says.
        modules: `BaseReport.modules`; empty means that the base has none to judge by, and everything fits.

    Raises:
        FactsError: `BaseModelMismatch`, with what was found and what the base has; `UnsupportedFormat` where two names
            of the file are one module of this base, or a rotation of inputs is of a convolution larger than 1 x 1.
    """
    if not modules:
        return
    shapes = {
        (component, flat_name(module)): shape for component, named in modules.items() for module, shape in named.items()
    }
    targets = [
        target
        for module in facts.modules
        for target in module.targets_in(
            lambda component, name: (denoiser(component, modules), flat_name(name)) in shapes
        )
    ]
    check_once(targets)
    for target in targets:
        component = denoiser(target.component, modules)
        shape = shapes.get((component, flat_name(target.module)))
        if shape is None:
            raise _mismatch(facts, modules, f"the base has no module {component} {target.module}")
        if target.weight.network in TURNED_INPUTS and prod(shape[2:]) != 1:
            message = f"{target.weight.network} of {component} {target.module}, a convolution larger than 1 x 1"
            raise FactsError(Reason.UNSUPPORTED_FORMAT, f"{message}, is not read")
        if not _fits(target, shape):
            weight = target.weight
            found = filter(None, (target.outputs, weight.inputs or weight.columns, *(weight.kernel or ())))
            raise _mismatch(
                facts,
                modules,
                f"{component} {target.module} is {_x(shape)} in the base, {_x(found)} in the file",
            )


def denoiser(component: str, components: Iterable[str]) -> str:
    """The component that a file means in a base that has these: many layouts call a transformer `unet` too."""
    return TRANSFORMER if component == UNET and UNET not in components and TRANSFORMER in components else component


def _fits(target: TargetFacts, shape: tuple[int, ...]) -> bool:
    weight = target.weight
    if target.outputs not in (0, shape[0]) or weight.columns not in (0, prod(shape[1:])):
        return False
    if weight.scaled_inputs not in (None, shape[1]):
        return False
    if weight.most_inputs is not None and (len(shape) != 2 or shape[1] > weight.most_inputs):
        return False
    if weight.network in TURNED_INPUTS and prod(shape[1:]) % weight.rank:
        return False
    # LoHa without a core tensor and LoKr do not tell inputs from kernel: their product was compared.
    kernel = shape[2:] if shape[2:] not in ((), (1, 1)) else None
    return weight.inputs is None or (weight.inputs == shape[1] and weight.kernel == kernel)


def _mismatch(facts: AdapterFacts, modules: Modules, detail: str) -> FactsError:
    theirs, ours = _text_width(_widths_in_file(facts)), _text_width(_widths_in_base(modules))
    family = facts.made_for
    if family is not None and family not in TEXT_WIDTHS.values():
        seems = str(family)
    elif theirs and ours and theirs != ours:
        seems = f"{TEXT_WIDTHS.get(theirs, 'another base')} (cross-attention {theirs}); this base needs {ours}"
    elif family is None and any(t.component == TRANSFORMER for t in facts.targets):
        seems = "a transformer"
    else:
        seems = family or ""
    return FactsError(Reason.BASE_MODEL_MISMATCH, f"trained for {seems}: {detail}" if seems else detail)


def _widths_in_file(facts: AdapterFacts) -> Iterable[int]:
    widths = ((t.module, t.weight.inputs or t.weight.columns) for t in facts.targets)
    return (width for module, width in widths if module.endswith("attn2_to_k") and width)


def _widths_in_base(modules: Modules) -> Iterable[int]:
    return (shape[1] for name, shape in modules.get(UNET, {}).items() if name.endswith("attn2.to_k"))


def _text_width(widths: Iterable[int]) -> int | None:
    return next(iter(widths), None)


def _x(sizes: Iterable[int]) -> str:
    return " x ".join(map(str, sizes))
