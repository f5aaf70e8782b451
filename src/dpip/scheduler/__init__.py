"""The scheduler: which job goes to which worker, when, and the call that sends it there."""
