"""The Content-Security-Policy of the page."""

from __future__ import annotations

__all__ = ["POLICY"]

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; media-src 'self' blob:; worker-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'"
)
"""Only the site's own files, and images that the page creates."""
