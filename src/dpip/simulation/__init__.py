"""The real scheduler and datastore with simulated workers, in virtual time; the rest is in docs."""
