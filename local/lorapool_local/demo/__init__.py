"""`lorapool demo`: one warm base model, several adapters, by kubectl apply and with the clients that people use."""
