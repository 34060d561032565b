"""Work that is too much for one machine, on an existing engine: Ray.

`sweep` searches for better recipes. It runs on this computer, or on a Ray cluster by its address;
nothing else changes.
"""

from pocketlens.scale.sweeping import Sweep, read_sweep, sweep

__all__ = ["Sweep", "read_sweep", "sweep"]
