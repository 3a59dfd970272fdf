"""Where pictures come from, a module a kind."""
