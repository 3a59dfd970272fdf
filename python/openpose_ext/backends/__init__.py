"""Inference engines behind one protocol, one file per engine. They know nothing about pose."""
