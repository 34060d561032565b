"""A web page that runs a Core ML model on camera frames, drawings and photos, live.

- `server.py` builds and runs the server; `lan.py` serves it to a phone over HTTPS.
- `api.py` and `live.py` are the JSON API and the WebSocket that browsers and other programs use;
  `openapi.py` describes the API, and `bridge.py` replaces the WebSocket where a browser blocks it.
- `inference.py` runs the models; `smoothing.py` decides which label is shown.
- `corrections.py` stores corrected images.
- `teaching/` is the server of another page, on which a recognizer is taught.
- `duel/` is the drawing game for two players.
- `guard.py` rejects requests from other sites and without the token (`access.py`); `accepting.py`
  limits how many connections there are, `connections.py` what each may send and how slowly;
  `decoders.py` decodes images in processes that can be ended.
- `page/` is the page itself: plain HTML, CSS and JavaScript modules, with no build step.
"""

from pocketlens.preview.server import serve_preview

__all__ = ["serve_preview"]
