"""From a sample's name to a batch: order, augmentation, loaders."""
