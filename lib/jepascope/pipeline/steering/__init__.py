"""Chapter 11: z and c moved along concepts, and the same held against concepts turned in the generator."""
