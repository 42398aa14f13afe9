"""Inner widths filled up to whole multiples of what a kernel works on at once, and the stream between blocks narrowed to one."""

from __future__ import annotations

import torch
from torch import nn

from shared.compress.prune.anatomy import AXES, anatomy, blocks_of, inner_widths
from shared.compress.rewrite.plain import plain_convolutions
from shared.compress.rewrite.remake import remade, shared_entry
from shared.models.convolutions import ShiftedConv, kernel_of
from shared.models.derive import derive_from
from shared.models.network import Network


def fill_up(student: Network, multiple: int) -> Network:
    """The same function with every inner width rounded up to a ``multiple`` by channels that do nothing.

    Worth it where a kernel's last, partly used block costs as much as a whole one and rounding down would cost accuracy. New
    channels are written, but read with weights of 0: healing may use them.
    """
    widths = [block.inner for block in anatomy(student).blocks]
    if all(width % multiple == 0 for width in widths):
        return student
    plain = plain_convolutions(student)
    wider = [-(-width // multiple) * multiple or old for width, old in zip(widths, inner_widths(student), strict=True)]
    made = remade(plain, inner=shared_entry(wider))
    with torch.no_grad():
        for (_, _, old), (_, _, new), width in zip(blocks_of(plain), blocks_of(made), widths, strict=True):
            for name, parameter in new.named_parameters():
                if width and (axis := AXES.get(name)) is not None and axis.kind == "inner":
                    parameter.narrow(axis.axis, 0, width).copy_(old.get_parameter(name))
                    if axis.axis == 1:
                        _read_nothing_new(old.get_submodule(name.removesuffix(".weight")), new.get_submodule(name.removesuffix(".weight")))
    return made


def _read_nothing_new(old: nn.Module, new: nn.Module) -> None:
    kernel = torch.zeros_like(new.get_parameter("weight"))
    kernel[:, : old.get_parameter("weight").shape[1]] = kernel_of(old)
    if isinstance(new, ShiftedConv) and isinstance(old, ShiftedConv):
        new.set_kernel(kernel, old.growth())
    else:
        new.get_parameter("weight").copy_(kernel)


def narrow_stream(student: Network, width: int) -> Network:
    """A new student whose blocks pass on ``width`` numbers (a convolutional net: channels of the first stage), as wide inside as before.

    The weightiest ones are kept (of a convolutional net the leading ones), as where a student is derived from a larger model; to be
    healed. Raises :class:`shared.errors.CheckpointError` where ``width`` is more than there is.
    """
    if width == student.settings.width:
        return student
    plain = plain_convolutions(student)
    changes: dict[str, object] = {"width": width, "inner": shared_entry(inner_widths(plain))}
    if any(block.heads for block in anatomy(plain).blocks):
        changes["head_width"] = plain.settings.width_of_heads()
    made = remade(plain, **changes)
    derive_from(plain, made)
    return made
