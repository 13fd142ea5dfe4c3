"""Pure rules: from a request to a decision or a refusal."""
