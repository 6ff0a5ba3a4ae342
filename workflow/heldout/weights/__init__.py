"""Published weights of networks that others trained, one file each: where they come from, and their checksum."""
