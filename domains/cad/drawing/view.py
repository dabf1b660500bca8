"""From where a part is looked at: orthographic, Z up, the viewer far away."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class View:
    """A direction of sight: `azimuth` counts from +X towards +Y, `elevation` from the XY plane towards +Z; degrees.

    Example: `View("front", -90, 0)` looks along +Y, with X to the right and Z up.
    """

    name: str
    azimuth: float
    elevation: float

    def axes(self) -> NDArray[np.float64]:
        """Return the rows right, up and towards the viewer [3, 3] in the part's frame.

        Example: the rows of the top view are X, Y and Z.
        """
        azimuth, elevation = math.radians(self.azimuth), math.radians(self.elevation)
        right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
        level = math.cos(elevation)
        towards = np.array([level * math.cos(azimuth), level * math.sin(azimuth), math.sin(elevation)])
        return np.stack([right, np.cross(towards, right), towards])


ISOMETRIC = View("isometric", -45.0, math.degrees(math.atan(math.sqrt(0.5))))
"""From the front, right and above: X runs down to the right, Y up to the right, all three axes equally shortened."""

TOP = View("top", -90.0, 90.0)
FRONT = View("front", -90.0, 0.0)
RIGHT = View("right", 0.0, 0.0)
