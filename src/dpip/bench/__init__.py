"""How fast DPIP is beside the limit of the machine and beside its peers."""
