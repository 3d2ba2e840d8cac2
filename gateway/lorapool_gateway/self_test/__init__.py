"""`lorapool self-test`: whether an installation makes an image, from `kubectl apply` to the pixels."""
