"""Pictures and pages from a run's results. Reads only the result model."""
