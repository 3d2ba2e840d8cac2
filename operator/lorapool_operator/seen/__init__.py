"""What a pass observes: frozen values, parsed from manifests and reports."""
