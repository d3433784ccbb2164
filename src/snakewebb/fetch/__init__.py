"""The phase that gets files: the only part of the package that uses the network. Nothing of it is imported elsewhere."""
