"""`nn --local`: the engine in this very process, for one program and no longer. No daemon is asked."""
