"""Sources of labelled images, one file each: official files and checksums, classes, and how to read them."""
