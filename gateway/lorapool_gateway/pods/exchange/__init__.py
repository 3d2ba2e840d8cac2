"""One request and its answer over HTTP/1.1, with as little as that takes."""
