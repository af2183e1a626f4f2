"""What has nothing to do with poses: errors, files, processes."""
