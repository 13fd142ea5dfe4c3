"""Pure rules: from what a client asks for to a decision or a refusal."""
