"""Images and labels: data sets by name, class folders, the decoded cache, batches and normalisation."""
