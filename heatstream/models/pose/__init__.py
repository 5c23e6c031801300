"""Bottom-up pose training and measuring: targets, losses, augmentation, COCO."""
