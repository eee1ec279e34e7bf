"""Outcrop: the Bedrock API for Claude. The public names; each is imported the first time it is used."""

__version__ = "0.1.0"
