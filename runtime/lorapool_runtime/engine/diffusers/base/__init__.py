"""The base model: from files to a pipeline on the device."""
