"""Where a pod gets an adapter's file: one type for each kind of source, which says what is true of the kind."""
