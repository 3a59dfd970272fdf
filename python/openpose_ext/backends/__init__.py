"""Inference engines behind one protocol: one engine a file. They know nothing of pose."""
