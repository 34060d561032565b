"""Meanings that both dialects share."""
