"""Plain values and the life of a job. Nothing here does I/O."""
