"""Where the rows of a module go: in diffusers' conversion of a base, whose weights say what row they are, and here."""

import torch
from tests.runtime.formats.layouts.families import Family, Shapes, board

from lorapool_api.lora.modules import PartInfo, file_module


def numbered(shapes: Shapes) -> dict[str, torch.Tensor]:
    """Weights of one column, whose rows are numbers that no other row has."""
    return {f"{name}.weight": rows.unsqueeze(1) for name, rows in _rows(shapes).items()}


def found_rows(family: Family, shapes: Shapes) -> dict[str, torch.Tensor]:
    """The same numbers by the modules of the base that have these rows, as an adapter's file would change them."""
    here = board(family)
    found: dict[str, torch.Tensor] = {}
    for name, rows in _rows(shapes).items():
        outputs, inputs = shapes[name]
        parts = (PartInfo("down", "F32", (1, inputs)), PartInfo("up", "F32", (outputs, 1)))
        module = file_module("transformer", name.replace(".", "_"), parts)
        for target in module.targets_in(lambda component, flat: here.find(component, flat) is not None):
            place = here.find("transformer", target.module)
            assert place is not None, target.module
            ranges = target.rows or ((0, outputs),)
            found[place.name] = torch.cat([rows[begin:end] for begin, end in ranges])
    return found


def _rows(shapes: Shapes) -> dict[str, torch.Tensor]:
    starts = torch.tensor([0, *(outputs for outputs, _ in shapes.values())]).cumsum(0).tolist()
    return {
        name: torch.arange(outputs) + start for (name, (outputs, _)), start in zip(shapes.items(), starts, strict=False)
    }
