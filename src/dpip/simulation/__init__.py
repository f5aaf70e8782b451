"""A fleet in virtual time: the real scheduler and datastore, and a simulated world around them."""
