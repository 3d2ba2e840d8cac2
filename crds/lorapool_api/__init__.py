"""The API of lorapool: both kinds, their conditions, names, and what the parts say to each other."""
