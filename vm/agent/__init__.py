"""Sources of the guest agent, compiled on the machine that uses it."""
