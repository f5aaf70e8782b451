"""Pixels: filters with typed parameters, pipelines of them, and the only home of libvips.

Parameters and pipelines (``registry``, ``pipeline``) are known without libvips being loaded.
"""
