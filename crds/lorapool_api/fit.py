"""Whether an adapter fits a base, judged by the modules that the base reports."""

from collections.abc import Iterable, Mapping
from typing import Final

from lorapool_api.conditions import Reason
from lorapool_api.facts import TRANSFORMER, AdapterFacts, Target
from lorapool_api.header import FactsError

Modules = Mapping[str, Mapping[str, tuple[int, ...]]]

# Width of the text states that cross-attention reads, by family. It only words messages.
_FAMILIES: Final = {768: "SD 1.x", 1024: "SD 2.x", 2048: "SDXL"}


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
        FactsError: `BaseModelMismatch`, with what was found and what the base has.
    """
    if not modules:
        return
    shapes = {
        (component, flat_name(module)): shape for component, named in modules.items() for module, shape in named.items()
    }
    for target in facts.targets:
        shape = shapes.get((target.component, flat_name(target.module)))
        if shape is None:
            raise _mismatch(facts, modules, f"the base has no module {target.component} {target.module}")
        if not _same(target, shape):
            found = (target.out_features, target.in_features, *(target.kernel or ()))
            raise _mismatch(
                facts,
                modules,
                f"{target.component} {target.module} is {_x(shape)} in the base, {_x(found)} in the file",
            )


def flat_name(module: str) -> str:
    """A module's name as all layouts can say it: `_` for `.`, without the prefix that only some CLIP classes have."""
    return module.replace(".", "_").removeprefix("text_model_")


def _same(target: Target, shape: tuple[int, ...]) -> bool:
    kernel = shape[2:] if shape[2:] not in ((), (1, 1)) else None
    same_in = target.in_features is None or target.in_features == shape[1]
    same_out = target.out_features is None or target.out_features == shape[0]
    # LoHa without a core tensor and LoKr flatten the kernel into the columns: nothing to compare.
    return same_in and same_out and (target.in_features is None or target.kernel == kernel)


def _mismatch(facts: AdapterFacts, modules: Modules, detail: str) -> FactsError:
    theirs, ours = _text_width(_widths_in_file(facts)), _text_width(_widths_in_base(modules))
    family = "a transformer (Flux, SD3)" if any(t.component == TRANSFORMER for t in facts.targets) else None
    if theirs and ours and theirs != ours:
        family = f"{_FAMILIES.get(theirs, 'another base')} (cross-attention {theirs}); this base needs {ours}"
    trained = f"trained for {family}: " if family else ""
    return FactsError(Reason.BASE_MODEL_MISMATCH, trained + detail)


def _widths_in_file(facts: AdapterFacts) -> Iterable[int]:
    return (t.in_features for t in facts.targets if t.module.endswith("attn2_to_k") and t.in_features)


def _widths_in_base(modules: Modules) -> Iterable[int]:
    return (shape[1] for name, shape in modules.get("unet", {}).items() if name.endswith("attn2.to_k"))


def _text_width(widths: Iterable[int]) -> int | None:
    return next(iter(widths), None)


def _x(sizes: Iterable[int | None]) -> str:
    return " x ".join("?" if s is None else str(s) for s in sizes)
