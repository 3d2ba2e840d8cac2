"""The engine that makes images with diffusers pipelines."""
