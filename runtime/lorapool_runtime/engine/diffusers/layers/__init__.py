"""The modules of a base that adapters change."""
