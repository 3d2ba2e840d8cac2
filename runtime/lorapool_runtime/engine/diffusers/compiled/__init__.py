"""The denoiser as a compiled graph, with adapters in the weights that it reads."""
