"""The worker: takes jobs, filters their pictures in child processes, hands the results in."""
