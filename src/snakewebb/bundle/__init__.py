"""What a paper publishes of a reduction: a bundle that says how every product was made, and whether a result is the same."""
