"""What is measured: UNets, pipelines and adapters with random weights."""
