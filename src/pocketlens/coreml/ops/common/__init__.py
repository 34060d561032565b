"""Conversions that both dialects share."""
