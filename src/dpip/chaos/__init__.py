"""A whole system under faults, and the proof that it has lost nothing and shown nothing twice."""
