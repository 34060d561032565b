"""Core ML file -> a static website that runs the model in the browser of any phone.

`network` writes the model for the page's own engine (`page/engine/`), whose kernels are WebAssembly
(`kernels`, `wasm`). The rest of the page is that of the preview, where a server answers instead.
`site` writes the folder, `check` reads one.
"""

from __future__ import annotations

from pocketlens.web.check import check_site
from pocketlens.web.site import create_web

__all__ = ["check_site", "create_web"]
