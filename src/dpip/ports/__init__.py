"""What the parts promise one another: small protocols, each kept by one or more adapters."""
