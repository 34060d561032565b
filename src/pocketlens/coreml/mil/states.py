"""States kept between predictions."""

from __future__ import annotations

from pocketlens.coreml.table import unsupported

unsupported("mil", "states are not lowered yet", "read_state", "coreml_update_state")
