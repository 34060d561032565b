"""A page in the browser that shows what a Core ML file sees: camera, drawing, photo, duel.

`looking.py` asks the model; `live.py` and `api.py` are what a browser and other programs talk to;
`guard.py` keeps strangers out; `duel.py` is the game; `corrections.py` keeps what was corrected;
`server.py` puts them together. `page/` is the page itself, plain HTML, CSS and modules.
"""

from pocketlens.preview.server import serve

__all__ = ["serve"]
