"""Networks: where they are found, what they mean, and how their maps are had."""
