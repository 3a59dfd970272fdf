"""Networks: finding their files, describing inputs and outputs, and running them."""
