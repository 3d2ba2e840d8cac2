"""Adapters: training and the layouts that they are written in."""
