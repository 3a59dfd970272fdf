"""OpenPose body poses from pictures."""
