"""The same traces for real: gateways and pods as processes, on a clock that runs faster."""
