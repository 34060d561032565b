"""Core ML file -> a static website that runs the model in the browser of any phone.

`engines` chooses what runs the model in the page. `network` writes it for the page's own engine
(`page/engine/`), whose kernels are WebAssembly (`kernels`, `wasm`); `ort_package` and `onnx_file`
are for onnxruntime-web, which runs the others. The rest of the page is that of the preview, where a
server answers instead.

`site` writes the folder, `check` reads one, `running` runs its model in a browser.
"""

from __future__ import annotations

from pocketlens.web.check import check_site
from pocketlens.web.running import SiteRun, find_browser, run_site
from pocketlens.web.site import create_web

__all__ = ["SiteRun", "check_site", "create_web", "find_browser", "run_site"]
