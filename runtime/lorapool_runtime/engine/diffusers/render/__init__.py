"""From render requests to forwards of the pipeline and to images."""
