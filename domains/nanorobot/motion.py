"""Overdamped motion: swim, drift, diffuse; turn; and reflect at the box and at spheres. All tensors are [3, M].

x <- x + v e dt + u(x) dt + sqrt(2 D_t dt) xi
e <- normalise(e + s eta),   s from `physics.heading_noise`
"""

from __future__ import annotations

import torch
from torch import Tensor


def normalise(vector: Tensor) -> Tensor:
    """Scale the columns of `vector` [3, M] to length 1 in place and return it; zero columns stay zero."""
    squares = vector * vector
    length = (squares[0] + squares[1]).add_(squares[2]).clamp_(min=1e-20).rsqrt_()
    return vector.mul_(length)


def turn_towards(heading: Tensor, direction: Tensor, largest: float) -> Tensor:
    """Return the heading [3, M] turned towards a direction [3, M] by at most `largest` radians.

    Where the direction is zero, or parallel to the heading, the heading stays.
    """
    wanted = normalise(direction.clone())
    along = (wanted * heading).sum(0)
    across = wanted - along * heading
    width = (across * across).sum(0).sqrt_()
    angle = torch.atan2(width, along).clamp_(max=largest)
    turned = heading * angle.cos() + across / width.clamp(min=1e-6) * angle.sin()
    return torch.where(width > 1e-6, normalise(turned), heading)


def reflect_box(position: Tensor, wall: float) -> Tensor:
    """Mirror positions [3, M] at |x| = wall in place and return where a wall was touched [M].

    A position so far out that its mirror image is outside as well ends on the wall.
    """
    inside = position.clamp(min=-wall, max=wall)
    over = position - inside
    torch.sub(inside, over, out=position)
    position.clamp_(min=-wall, max=wall)
    return (over != 0).any(0)


def reflect_spheres(position: Tensor, before: Tensor, spheres: Tensor, wall: float) -> Tensor:
    """Mirror positions [3, M] at the surfaces of spheres in place and return where one was touched [M].

    Args:
        position: after the step, inside the box.
        before: the allowed positions before the step; where mirroring would lead into another sphere or out of the
            box, the robot stays there, so that no overlap of obstacles can trap it.
        spheres: [S, 4], centre and radius (the body's radius included).
        wall: largest coordinate.
    """
    touched = torch.zeros_like(position[0], dtype=torch.bool)
    for sphere in spheres:
        offset = position - sphere[:3, None]
        distance = (offset * offset).sum(0).sqrt_()
        within = distance < sphere[3]
        scale = (2 * sphere[3] - distance) / distance.clamp(min=1e-6)
        position.copy_(torch.where(within, sphere[:3, None] + offset * scale, position))
        touched |= within
    blocked = inside_spheres(position, spheres) | (position.abs() > wall).any(0)
    position.copy_(torch.where(blocked, before, position))
    return touched | blocked


def inside_spheres(position: Tensor, spheres: Tensor) -> Tensor:
    """Return which positions [3, M] lie within any of the spheres [S, 4]."""
    if not len(spheres):
        return torch.zeros_like(position[0], dtype=torch.bool)
    offset = position.unsqueeze(0) - spheres[:, :3, None]
    return ((offset * offset).sum(1) < spheres[:, 3:] ** 2).any(0)


def vessel_flow(position: Tensor, vessel_radius: float, peak: float) -> Tensor:
    """Return the speed along x [M] of Poiseuille flow in a vessel along the x axis, 0 outside it."""
    rho2 = position[1] * position[1] + position[2] * position[2]
    return (rho2.mul_(-1 / vessel_radius**2).add_(1.0)).clamp_(min=0.0).mul_(peak)
