"""Encryption of what goes over the network, and whom to trust for it."""
