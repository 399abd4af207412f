"""Leave the endpoint as it is."""
