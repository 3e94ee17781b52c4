"""The forge: making forged training images with exact masks, donors, operations and histories."""
