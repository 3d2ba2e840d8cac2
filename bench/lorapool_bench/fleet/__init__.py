"""A pool of many pods and many adapters: what is asked of the source, and how long until all are served."""
