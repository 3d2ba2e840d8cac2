"""The control ports of runtime pods: the catalog out, reports in."""
