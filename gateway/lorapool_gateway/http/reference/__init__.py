"""The pages that say what is served: for programs in OpenAPI, and for people."""
