"""How it is measured: clocks, machines, spreads, results."""
