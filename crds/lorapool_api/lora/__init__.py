"""What a LoRA file is, from its header alone, and whether it fits a base."""
