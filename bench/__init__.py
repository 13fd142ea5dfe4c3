"""The suite: scenarios, backends, the measurement, and the judge that turns samples into verdicts."""
