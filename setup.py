"""A shim for tools that still ask for this file; all metadata is in pyproject.toml."""

from setuptools import setup

setup()
