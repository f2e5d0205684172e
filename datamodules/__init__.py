"""What is fed: data modules, splits, sampling, augmentation, audit and caches."""
