"""Files: what each kind holds, how it is named, written whole, hashed and read back."""
