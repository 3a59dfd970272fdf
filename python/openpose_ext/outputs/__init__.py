"""What results are written as, a module a format."""
