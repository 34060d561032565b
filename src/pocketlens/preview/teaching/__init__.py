"""A page on which anybody makes a recognizer: record examples, train in seconds, take it along.

- `server.py` serves the page; `api.py` has its requests, `events.py` keeps several pages in step.
- `teacher.py` holds everything together: `folder.py` has the examples on disk and `trash.py` what
  can be undone, `features.py` their features, `learning.py` learns from them, `sureness.py` says
  how sure to be.
- `take.py` writes the Core ML file, the app, the web page and the ONNX model.
"""

from pocketlens.preview.teaching.server import teach

__all__ = ["teach"]
