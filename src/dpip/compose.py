"""Wires the parts together: the one place where adapters meet ports."""
