"""Images and labels: known data sets, class folders, the decoded cache, batches and augmentation."""
