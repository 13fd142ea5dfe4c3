"""The judge's parts: samples to pairs, pairs to estimates, estimates to verdict rows. All pure."""
